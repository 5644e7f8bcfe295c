// Words of the page, in the language of the browser: Chinese or English.
const WORDS = {
  en: {
    run: "Run", token: "Token", enter: "Enter", ask: "Answer", text: "Text", files: "or drop files here, or choose them:",
    legend: "Types", confidence: "Least confidence", document: "Document", previous: "Previous", next: "Next",
    download: "Download", others: "other forms", found: "found", occurrence: "occurrence", of: "of", question: "Question", answer: "Answer",
    none: "no answer", probability: "probability", image: "Image", prompt: "Prompt", go: "Continue", stop: "Stop",
    tokens: "Tokens", temperature: "Temperature", seed: "Seed", surprise: "Colour by surprisal", bits: "bits",
    series: "A table of the series (CSV)", working: "working …", ready: "ready", characters: "characters",
    labels: "labels", longest: "at most", positions: "tokens", uncalibrated: "scores are not calibrated",
    reject: "The token is missing or wrong.", keys: "Arrow keys go from one to the next, Enter to the same elsewhere.",
    quantiles: "range of quantiles", history: "history", forecast: "forecast", date: "date", perToken: "bits a byte",
  },
  zh: {
    run: "模型", token: "令牌", enter: "进入", ask: "回答", text: "文本", files: "或将文件拖到这里，或选择文件：",
    legend: "类型", confidence: "最低置信度", document: "文档", previous: "上一个", next: "下一个",
    download: "下载", others: "其他格式", found: "个", occurrence: "处", of: "/", question: "问题", answer: "答案",
    none: "没有答案", probability: "概率", image: "图像", prompt: "开头", go: "续写", stop: "停止",
    tokens: "词元数", temperature: "温度", seed: "种子", surprise: "按意外程度着色", bits: "比特",
    series: "时间序列表格（CSV）", working: "处理中……", ready: "完成", characters: "字",
    labels: "标签", longest: "最多", positions: "词元", uncalibrated: "分数未校准",
    reject: "令牌缺失或不正确。", keys: "方向键逐个移动，回车跳到同一实体的下一处。",
    quantiles: "分位数范围", history: "历史", forecast: "预测", date: "日期", perToken: "比特/字节",
  },
};

export const language = navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";

export const word = (name) => WORDS[language][name];
