// The page without this file: two forms and a reload. With it: pictures are dropped, pasted or chosen, and answered in
// place, through the same POST /predict that everyone else uses.

const form = document.getElementById("choose");
const answers = document.getElementById("answers");
const status = document.getElementById("status");
const maxImages = Number(form.dataset.maxImages);
const maxMegabytes = Number(form.dataset.maxUploadMb);
const FORM_OVERHEAD = 1024; // bytes of a multipart body around the picture, generously

class Failure extends Error {
  constructor(detail, mayPass) {
    super(detail);
    this.mayPass = mayPass; // trying again can help
  }
}

let current = new AbortController();

/** Show a card for each picture and fill them in order. A later choice ends an earlier one. */
async function classify(files) {
  if (files.length === 0) return;
  const { signal } = (current = restart());
  if (files.length > maxImages) {
    say(`${files.length} pictures are too many at once: choose at most ${maxImages}`);
    return;
  }
  const cards = files.map(newCard);
  answers.replaceChildren(...cards);
  reveal(cards[0]);
  for (const [index, card] of cards.entries()) {
    await fill(card, files[index], signal);
    if (signal.aborted) return;
  }
}

function restart() {
  current.abort();
  for (const photo of answers.querySelectorAll(".photo")) URL.revokeObjectURL(photo.src);
  answers.replaceChildren();
  return new AbortController();
}

function reveal(card) {
  card.scrollIntoView({ block: "nearest" });
}

/** One line that belongs to no single picture. */
function say(message) {
  const line = Object.assign(document.createElement("p"), { className: "message", textContent: message });
  line.setAttribute("role", "alert");
  answers.replaceChildren(line);
}

function newCard(file) {
  const card = document.getElementById("card").content.cloneNode(true).firstElementChild;
  const photo = card.querySelector(".photo");
  photo.addEventListener("error", () => photo.parentElement.remove()); // a browser may not know TIFF; the model does
  photo.src = URL.createObjectURL(file);
  photo.alt = file.name;
  card.querySelector(".filename").textContent = file.name;
  return card;
}

async function fill(card, file, signal) {
  const retry = card.querySelector(".retry");
  card.dataset.state = "waiting";
  showStep(card, 0);
  status.textContent = `Looking at ${file.name}`;
  try {
    show(card, await predict(file, signal, (sent) => showStep(card, sent)));
    card.dataset.state = "answered";
    status.textContent = summary(card);
    reveal(answers.firstElementChild); // it has grown
  } catch (error) {
    if (signal.aborted) return;
    if (!(error instanceof Failure)) throw error;
    card.dataset.state = "failed";
    card.querySelector(".reason").textContent = status.textContent = error.message;
    retry.hidden = !error.mayPass;
    retry.onclick = () => {
      card.focus(); // the button goes away, and the focus would go with it
      fill(card, file, signal);
    };
  }
}

/** The answer for one picture. XMLHttpRequest, since fetch cannot tell how much of a picture has been sent. */
function predict(file, signal, onProgress) {
  return new Promise((resolve, reject) => {
    const fail = (detail, mayPass) => reject(new Failure(detail, mayPass));
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
      const { predictions, detail } = request.response ?? {}; // null where something in between answered, in HTML
      if (predictions) resolve(predictions[0]);
      else fail(detail ?? `The server gave no answer (status ${request.status})`, request.status >= 500);
    };
    request.onerror = () => fail("The server cannot be reached: is the network there?", true);
    request.onabort = () => reject(signal.reason);
    signal.addEventListener("abort", () => request.abort());
    request.send(body);
  });
}

function showStep(card, sent) {
  const progress = card.querySelector("progress");
  if (sent < 1) progress.value = sent;
  else progress.removeAttribute("value"); // all sent: how long the model takes is not known
  card.querySelector(".step").textContent = sent < 1 ? "Sending …" : "Looking …";
}

function show(card, entry) {
  card.querySelector("h2").textContent = entry.label;
  const bars = card.querySelector(".bars");
  const row = bars.firstElementChild;
  bars.replaceChildren(...entry.top.map((one) => filledBar(row.cloneNode(true), one)));
  const heat = card.querySelector(".heat");
  if (heat) heat.src = entry.heatmap;
}

function filledBar(row, { label, probability }) {
  row.querySelector(".bar-label").textContent = label;
  row.querySelector(".bar-percent").textContent = percent(probability);
  row.querySelector("rect").setAttribute("width", `${(probability * 100).toFixed(1)}%`);
  return row;
}

/** As app/pages.py says it: never rounded to certainty. */
function percent(probability) {
  if (probability < 0.001) return "<0.1\u202f%";
  if (probability > 0.999) return ">99.9\u202f%";
  return `${(probability * 100).toFixed(1)}\u202f%`;
}

function summary(card) {
  const said = (selector) => card.querySelector(selector).textContent;
  return `${said(".filename")}: ${said("h2")}, ${said(".bar-percent")}`;
}

/** The ways a picture comes in. */
function listen() {
  form.addEventListener("submit", (event) => event.preventDefault());
  for (const input of form.querySelectorAll("input")) {
    input.addEventListener("change", () => {
      classify([...input.files]);
      input.value = ""; // so that choosing the same picture again is a change too
    });
  }

  document.getElementById("samples")?.addEventListener("submit", async (event) => {
    event.preventDefault();
    const name = event.submitter.value;
    const address = event.submitter.querySelector("img").src;
    const { signal } = (current = restart());
    try {
      const picture = await (await fetch(address, { signal })).blob();
      classify([new File([picture], name, { type: picture.type })]);
    } catch (error) {
      if (!signal.aborted) say("The server cannot be reached: is the network there?");
    }
  });

  document.addEventListener("paste", (event) => classify([...event.clipboardData.files]));

  const dragged = (event) => event.dataTransfer?.types.includes("Files");
  const mark = (on) => document.body.classList.toggle("dragging", on);
  document.addEventListener("dragover", (event) => {
    if (!dragged(event)) return;
    event.preventDefault(); // says that it may be dropped here
    mark(true);
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget ?? mark(false));
  document.addEventListener("drop", (event) => {
    if (!dragged(event)) return;
    event.preventDefault();
    mark(false);
    classify([...event.dataTransfer.files]);
  });

  answers.addEventListener("input", ({ target }) => {
    if (target.matches(".strength")) target.closest(".card").querySelector(".heat").style.opacity = target.value / 100;
  });
}

function fillCurl() {
  const curl = document.getElementById("curl");
  const copy = document.getElementById("copy");
  curl.textContent = `curl -F file=@picture.jpg ${new URL("predict", document.baseURI)}`;
  copy.hidden = !navigator.clipboard; // browsers offer it on https and localhost only
  copy.onclick = async () => {
    await navigator.clipboard.writeText(curl.textContent);
    status.textContent = copy.textContent = "Copied";
  };
}

listen();
fillCurl();
document.documentElement.classList.add("js"); // last: where anything above fails, the forms stay as they are
