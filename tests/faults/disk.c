// Layer between a process and its files, for LD_PRELOAD. Below one folder it records every change, or ends the
// process, or fails, at the n-th one. Above libc, it sees the writes of Python, C++ and Rust alike.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

enum kind { OPEN, WRITE, SYNC, RENAME, UNLINK, MKDIR, RMDIR, LINK, TRUNCATE, READ, MARK };
enum action { NOTHING, RECORD, KILL, FAIL, FULL, FAIL_READ };
enum fate { GO_ON, TORN, FAILED };

static enum action action = NOTHING;
static char root[4096];
static size_t root_length;
static int record_to = -1, failure = 0;
static long target = 0, count = 0;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int trap_renames(void);

// The folder must be a real path, without links. `code` is the errno of a failure; `fd` takes the records. Returns
// whether all renames will be seen.
int disk_arm(const char *folder, int what, long number, int code, int fd) {
  snprintf(root, sizeof root, "%s", folder);
  root_length = strlen(root);
  target = number, failure = code, record_to = fd, count = 0;
  action = what;
  return trap_renames();
}

long disk_count(void) { return count; }

static int inside(const char *path) {
  return !strncmp(path, root, root_length) && (path[root_length] == '/' || !path[root_length]);
}

static int of_descriptor(int fd, char *path) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, 4095);
  path[length < 0 ? 0 : length] = 0;
  return length >= 0 && inside(path);
}

// The absolute path in `whole`; whether it is one that counts.
static int watched(int folder, const char *path, char *whole) {
  if (action == NOTHING || !path) return 0;
  whole[0] = 0;
  if (path[0] != '/') {
    if (folder == AT_FDCWD ? !getcwd(whole, 4096) : !of_descriptor(folder, whole)) return 0;
    strncat(whole, "/", 4095 - strlen(whole));
  }
  strncat(whole, path, 4095 - strlen(whole));
  return inside(whole);
}

static int watched_descriptor(int fd) {
  char path[4096];
  return action != NOTHING && fd != record_to && of_descriptor(fd, path);
}

static void die(void) {
  syscall(SYS_kill, getpid(), SIGKILL);
  for (;;) pause();
}

// What becomes of the next change, which the caller carries out while it holds the lock.
static enum fate fate(enum kind kind) {
  if (action == RECORD || (action == FAIL_READ) != (kind == READ)) return GO_ON;
  ++count;
  if (count < target || !target) return GO_ON;
  if (action == KILL) {
    if (kind == WRITE) return TORN;
    die();
  }
  // What is removed, moved or synced needs no room; the first change fails whatever it is.
  int needs_room = kind == OPEN || kind == WRITE || kind == MKDIR || kind == LINK || kind == TRUNCATE;
  if (count > target && !(action == FULL && needs_room)) return GO_ON;
  errno = failure;
  return action == FULL && kind == WRITE && count == target ? TORN : FAILED;
}

static void record(enum kind kind, int fd, int64_t place, const char *first, const char *second, const void *data,
                   size_t size) {
  if (action != RECORD || record_to < 0) return;
  int64_t head[6] = {kind, fd, place, first ? strlen(first) : 0, second ? strlen(second) : 0, size};
  struct iovec parts[4] = {{head, sizeof head}, {(void *)first, head[3]}, {(void *)second, head[4]}, {(void *)data, size}};
  int kept = errno;
  syscall(SYS_writev, record_to, parts, 4);
  errno = kept;
}

void disk_mark(const char *text) { record(MARK, -1, 0, text, 0, 0, 0); }

#define CHANGE(kind, watch, call, ...)                \
  if (!(watch)) return call;                          \
  pthread_mutex_lock(&lock);                          \
  long result = -1;                                   \
  if (fate(kind) == GO_ON) {                          \
    result = call;                                    \
    if (result >= 0) record(kind, __VA_ARGS__);       \
  }                                                   \
  pthread_mutex_unlock(&lock);                        \
  return result;

static int open_at(int folder, const char *path, int flags, mode_t mode) {
  char whole[4096];
  if (!watched(folder, path, whole)) return syscall(SYS_openat, folder, path, flags, mode);
  int writes = (flags & O_ACCMODE) != O_RDONLY;
  pthread_mutex_lock(&lock);
  long result = -1;
  // A file opened to be synced is no change; whether it can be, the sync is asked.
  int counted = writes && (flags & (O_CREAT | O_TRUNC));
  if ((!counted && (writes || (flags & O_DIRECTORY))) || fate(counted ? OPEN : READ) == GO_ON) {
    struct stat before;
    int is_new = syscall(SYS_newfstatat, AT_FDCWD, whole, &before, 0) != 0;
    result = syscall(SYS_openat, folder, path, flags, mode);
    if (result >= 0) record(OPEN, result, (flags & O_TRUNC ? 1 : 0) | (is_new ? 2 : 0), whole, 0, 0, 0);
  }
  pthread_mutex_unlock(&lock);
  return result;
}

static mode_t mode_of(int flags, va_list rest) { return flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; }

#define OPEN_WITH(folder)                       \
  va_list rest;                                 \
  va_start(rest, flags);                        \
  mode_t mode = mode_of(flags, rest);           \
  va_end(rest);                                 \
  return open_at(folder, path, flags, mode);

int open(const char *path, int flags, ...) { OPEN_WITH(AT_FDCWD) }
int open64(const char *path, int flags, ...) { OPEN_WITH(AT_FDCWD) }
int openat(int folder, const char *path, int flags, ...) { OPEN_WITH(folder) }
int openat64(int folder, const char *path, int flags, ...) { OPEN_WITH(folder) }
int creat(const char *path, mode_t mode) { return open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

FILE *fopen(const char *path, const char *mode) {
  int flags = strchr(mode, '+') ? O_RDWR : mode[0] == 'r' ? O_RDONLY : O_WRONLY;
  if (mode[0] != 'r') flags |= O_CREAT | (mode[0] == 'w' ? O_TRUNC : O_APPEND);
  if (strchr(mode, 'x')) flags |= O_EXCL;
  if (strchr(mode, 'e')) flags |= O_CLOEXEC;
  int fd = open_at(AT_FDCWD, path, flags, 0666);
  return fd < 0 ? NULL : fdopen(fd, mode);
}
FILE *fopen64(const char *path, const char *mode) { return fopen(path, mode); }

// `place` < 0: where the descriptor stands.
static ssize_t write_at(int fd, const void *data, size_t size, off_t place) {
  long number = place < 0 ? SYS_write : SYS_pwrite64;
  if (!watched_descriptor(fd)) return syscall(number, fd, data, size, place);
  pthread_mutex_lock(&lock);
  enum fate what = fate(WRITE);
  ssize_t result = -1;
  if (what == TORN) size /= 2;
  if (what == GO_ON || (what == TORN && size)) {
    off_t start = place;
    if (place < 0 && fcntl(fd, F_GETFL) & O_APPEND) start = lseek(fd, 0, SEEK_END);
    else if (place < 0) start = lseek(fd, 0, SEEK_CUR);
    result = syscall(number, fd, data, size, place);
    if (result > 0) record(WRITE, fd, start, 0, 0, data, result);
  }
  if (what == TORN && action == KILL) die();
  pthread_mutex_unlock(&lock);
  return result;
}

ssize_t write(int fd, const void *data, size_t size) { return write_at(fd, data, size, -1); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t place) { return write_at(fd, data, size, place); }
ssize_t pwrite64(int fd, const void *data, size_t size, off_t place) { return write_at(fd, data, size, place); }
ssize_t writev(int fd, const struct iovec *parts, int number) {
  if (!watched_descriptor(fd)) return syscall(SYS_writev, fd, parts, number);
  ssize_t total = 0;
  for (int part = 0; part < number; ++part) {
    if (!parts[part].iov_len) continue;
    ssize_t written = write_at(fd, parts[part].iov_base, parts[part].iov_len, -1);
    if (written < 0) return total ? total : -1;
    total += written;
    if ((size_t)written < parts[part].iov_len) break;
  }
  return total;
}

// Copies inside the kernel would not be seen: whoever asks for one falls back to reading and writing.
ssize_t copy_file_range(int in, off_t *a, int out, off_t *b, size_t size, unsigned flags) {
  if (watched_descriptor(out)) return errno = ENOSYS, -1;
  return syscall(SYS_copy_file_range, in, a, out, b, size, flags);
}
ssize_t sendfile(int out, int in, off_t *place, size_t size) {
  if (watched_descriptor(out)) return errno = ENOSYS, -1;
  return syscall(SYS_sendfile, out, in, place, size);
}
ssize_t sendfile64(int out, int in, off_t *place, size_t size) { return sendfile(out, in, place, size); }

ssize_t read(int fd, void *data, size_t size) {
  if (action == FAIL_READ && watched_descriptor(fd)) {
    pthread_mutex_lock(&lock);
    enum fate what = fate(READ);
    pthread_mutex_unlock(&lock);
    if (what != GO_ON) return -1;
  }
  return syscall(SYS_read, fd, data, size);
}

// Nothing is lost while the machine runs, so the disk is not waited for.
int fsync(int fd) { CHANGE(SYNC, watched_descriptor(fd), 0, fd, 0, 0, 0, 0, 0) }
int fdatasync(int fd) { return fsync(fd); }

int ftruncate(int fd, off_t size) {
  CHANGE(TRUNCATE, watched_descriptor(fd), syscall(SYS_ftruncate, fd, size), fd, size, 0, 0, 0, 0)
}
int ftruncate64(int fd, off_t size) { return ftruncate(fd, size); }

int renameat2(int from, const char *old, int to, const char *new, unsigned flags) {
  char first[4096], second[4096];
  int both = watched(from, old, first) & watched(to, new, second);
  CHANGE(RENAME, both, syscall(SYS_renameat2, from, old, to, new, flags), -1, 0, first, second, 0, 0)
}
int renameat(int from, const char *old, int to, const char *new) { return renameat2(from, old, to, new, 0); }
int rename(const char *old, const char *new) { return renameat2(AT_FDCWD, old, AT_FDCWD, new, 0); }

// safetensors renames by a system call of its own, not by libc. The kernel hands it back to us; ours is renameat2.
static void trapped(int number, siginfo_t *info, void *context) {
  (void)number, (void)info;
  ucontext_t *state = context;
#if defined(__x86_64__)
  greg_t *given = state->uc_mcontext.gregs;
  int result = renameat2(given[REG_RDI], (char *)given[REG_RSI], given[REG_RDX], (char *)given[REG_R10], 0);
  given[REG_RAX] = result < 0 ? -errno : result;
#elif defined(__aarch64__)
  unsigned long long *given = state->uc_mcontext.regs;
  int result = renameat2(given[0], (char *)given[1], given[2], (char *)given[3], 0);
  given[0] = result < 0 ? -errno : result;
#endif
}

static int trap_renames(void) {
  struct sigaction handler = {.sa_sigaction = trapped, .sa_flags = SA_SIGINFO | SA_NODEFER};
  struct sock_filter steps[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_renameat, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog filter = {sizeof steps / sizeof *steps, steps};
  return !sigaction(SIGSYS, &handler, NULL) && !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
         !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
}

int unlinkat(int folder, const char *path, int flags) {
  char whole[4096];
  enum kind kind = flags & AT_REMOVEDIR ? RMDIR : UNLINK;
  CHANGE(kind, watched(folder, path, whole), syscall(SYS_unlinkat, folder, path, flags), -1, 0, whole, 0, 0, 0)
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int mkdirat(int folder, const char *path, mode_t mode) {
  char whole[4096];
  CHANGE(MKDIR, watched(folder, path, whole), syscall(SYS_mkdirat, folder, path, mode), -1, 0, whole, 0, 0, 0)
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

int linkat(int from, const char *old, int to, const char *new, int flags) {
  char first[4096], second[4096];
  int both = watched(from, old, first) & watched(to, new, second);
  CHANGE(LINK, both, syscall(SYS_linkat, from, old, to, new, flags), -1, 0, first, second, 0, 0)
}
int link(const char *old, const char *new) { return linkat(AT_FDCWD, old, AT_FDCWD, new, 0); }
