"""`reformer env`."""


def env() -> None:
    """Show versions, threads, devices, and which attention backends can be used here, with the reasons."""
    import platform
    from importlib.metadata import version

    import torch
    from rich.table import Table

    from reformer import __version__
    from reformer.data import cache_folder
    from reformer.ops import backend_status
    from reformer.terminal import PlainConsole
    from reformer.training.allocator import allocator

    table = Table(show_header=False, box=None)
    table.add_row("reformer", __version__)
    table.add_row("python", platform.python_version())
    for name in ("torch", "transformers", "accelerate", "tokenizers"):
        table.add_row(name, version(name))
    table.add_row("system", platform.platform())
    table.add_row("threads", str(torch.get_num_threads()))
    table.add_row("memory from", allocator())
    table.add_row("gpu", torch.cuda.get_device_name() if torch.cuda.is_available() else "none")
    table.add_row("data sets in", str(cache_folder()))
    for backend, status in backend_status().items():
        table.add_row(f"attention: {backend}", status)
    PlainConsole().print(table)
