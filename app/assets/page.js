// Without this file, the page's two forms reload it with the results. With it, images can also be dropped or pasted, and
// the results of POST /predict appear without a reload.

const form = document.getElementById("choose");
const results = document.getElementById("results");
const status = document.getElementById("status");
const maxImages = Number(form.dataset.maxImages);
const maxMegabytes = Number(form.dataset.maxUploadMb);
const FORM_OVERHEAD = 1024; // bytes of a multipart body besides the image, at most

const UNREACHABLE = "The server cannot be reached: check the network connection";

class PredictError extends Error {
  constructor(detail, canRetry) {
    super(detail);
    this.canRetry = canRetry; // whether the same request may succeed later
  }
}

let current = new AbortController(); // aborts the requests of the latest choice

/** Show a card for each image, then classify the images in order. Aborts the requests of an earlier choice. */
async function classify(files) {
  if (files.length === 0) return;
  const { signal } = (current = restart());
  if (files.length > maxImages) {
    showMessage(`${files.length} pictures are too many at once: choose at most ${maxImages}`);
    return;
  }
  const cards = files.map(newCard);
  results.replaceChildren(...cards);
  scrollToCard(cards[0]);
  for (const [index, card] of cards.entries()) {
    await classifyInto(card, files[index], signal);
    if (signal.aborted) return;
  }
}

function restart() {
  current.abort();
  for (const photo of results.querySelectorAll(".photo")) URL.revokeObjectURL(photo.src);
  results.replaceChildren();
  return new AbortController();
}

function scrollToCard(card) {
  card.scrollIntoView({ block: "nearest" });
}

/** Show an error that does not belong to one image. */
function showMessage(message) {
  const line = Object.assign(document.createElement("p"), { className: "message", textContent: message });
  line.setAttribute("role", "alert");
  results.replaceChildren(line);
}

function newCard(file) {
  const card = document.getElementById("card").content.cloneNode(true).firstElementChild;
  const photo = card.querySelector(".photo");
  photo.addEventListener("error", () => photo.parentElement.remove()); // browsers cannot show TIFF
  photo.src = URL.createObjectURL(file);
  photo.alt = file.name;
  card.querySelector(".filename").textContent = file.name;
  return card;
}

/** Send `file`, and show the result or the error on its card. */
async function classifyInto(card, file, signal) {
  const retry = card.querySelector(".retry");
  card.dataset.state = "waiting";
  showStep(card, 0);
  status.textContent = `Classifying ${file.name}`;
  try {
    showResult(card, await predict(file, signal, (sent) => showStep(card, sent)));
    card.dataset.state = "done";
    status.textContent = summary(card);
    scrollToCard(results.firstElementChild); // again, because it has grown
  } catch (error) {
    if (signal.aborted) return;
    if (!(error instanceof PredictError)) throw error;
    card.dataset.state = "failed";
    card.querySelector(".reason").textContent = status.textContent = error.message;
    retry.hidden = !error.canRetry;
    retry.onclick = () => {
      card.focus(); // the button disappears, and would lose the focus
      classifyInto(card, file, signal);
    };
  }
}

/** The entry of `predictions` for one image. Uses XMLHttpRequest, because fetch does not report upload progress. */
function predict(file, signal, onProgress) {
  return new Promise((resolve, reject) => {
    const fail = (detail, canRetry) => reject(new PredictError(detail, canRetry));
    if (file.size + FORM_OVERHEAD > maxMegabytes * 2 ** 20) {
      const size = (file.size / 2 ** 20).toFixed(1);
      fail(`${file.name} has ${size} MB, and at most ${maxMegabytes} MB can be sent: choose a smaller one`, false);
      return;
    }
    const body = new FormData();
    body.append("file", file);
    const request = new XMLHttpRequest();
    request.open("POST", form.dataset.predict);
    request.responseType = "json";
    request.upload.onprogress = (event) => onProgress(event.loaded / event.total);
    request.onload = () => {
      const { predictions, detail } = request.response ?? {}; // null if a gateway responded with HTML
      if (predictions) resolve(predictions[0]);
      else fail(detail ?? `The server did not respond as expected (status ${request.status})`, request.status >= 500);
    };
    request.onerror = () => fail(UNREACHABLE, true);
    request.onabort = () => reject(signal.reason);
    signal.addEventListener("abort", () => request.abort());
    request.send(body);
  });
}

function showStep(card, sent) {
  const progress = card.querySelector("progress");
  if (sent < 1) progress.value = sent;
  else progress.removeAttribute("value"); // how long the model takes is unknown
  card.querySelector(".step").textContent = sent < 1 ? "Sending …" : "Classifying …";
}

function showResult(card, entry) {
  card.querySelector("h2").textContent = entry.label;
  const bars = card.querySelector(".bars");
  const row = bars.firstElementChild;
  bars.replaceChildren(...entry.top.map((label) => fillBar(row.cloneNode(true), label)));
  const heatmap = card.querySelector(".heatmap");
  if (heatmap) heatmap.src = entry.heatmap;
}

function fillBar(row, { label, probability }) {
  row.querySelector(".bar-label").textContent = label;
  row.querySelector(".bar-percent").textContent = percent(probability);
  row.querySelector("rect").setAttribute("width", `${(probability * 100).toFixed(1)}%`);
  return row;
}

/** The same as `percent` in app/pages.py: never rounded to 0 % or 100 %. */
function percent(probability) {
  if (probability < 0.001) return "<0.1\u202f%";
  if (probability > 0.999) return ">99.9\u202f%";
  return `${(probability * 100).toFixed(1)}\u202f%`;
}

function summary(card) {
  const text = (selector) => card.querySelector(selector).textContent;
  return `${text(".filename")}: ${text("h2")}, ${text(".bar-percent")}`;
}

/** Classify images that are chosen, pasted, dropped, or taken from the samples. */
function addListeners() {
  form.addEventListener("submit", (event) => event.preventDefault());
  for (const input of form.querySelectorAll("input")) {
    input.addEventListener("change", () => {
      classify([...input.files]);
      input.value = ""; // so that choosing the same file again is a change
    });
  }

  document.getElementById("samples")?.addEventListener("submit", async (event) => {
    event.preventDefault();
    const name = event.submitter.value;
    const address = event.submitter.querySelector("img").src;
    const { signal } = (current = restart());
    try {
      const image = await (await fetch(address, { signal })).blob();
      classify([new File([image], name, { type: image.type })]);
    } catch (error) {
      if (!signal.aborted) showMessage(UNREACHABLE);
    }
  });

  document.addEventListener("paste", (event) => classify([...event.clipboardData.files]));

  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  const markDragging = (on) => document.body.classList.toggle("dragging", on);
  document.addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault(); // allows the drop
    markDragging(true);
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget ?? markDragging(false));
  document.addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    markDragging(false);
    classify([...event.dataTransfer.files]);
  });

  results.addEventListener("input", ({ target }) => {
    if (target.matches(".strength")) target.closest(".card").querySelector(".heatmap").style.opacity = target.value / 100;
  });
}

function fillCurl() {
  const curl = document.getElementById("curl");
  const copy = document.getElementById("copy");
  curl.textContent = `curl -F file=@picture.jpg ${new URL("predict", document.baseURI)}`;
  copy.hidden = !navigator.clipboard; // available on https and localhost only
  copy.onclick = async () => {
    await navigator.clipboard.writeText(curl.textContent);
    status.textContent = copy.textContent = "Copied";
  };
}

addListeners();
fillCurl();
document.documentElement.classList.add("js"); // last: if anything above fails, the forms work without JavaScript
