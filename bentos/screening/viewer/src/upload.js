/** Sending an exam to be scored: files, a ZIP or a folder, picked or dropped. */

import { scoreFiles } from "./api.js";
import { el, say } from "./dom.js";
import { problemCard } from "./problem.js";

/** Return the card that takes files. */
export function uploadCard() {
  const field = el("input", { id: "files", type: "file", multiple: true, accept: ".dcm,.zip,application/dicom,application/zip" });
  const told = el("div", { class: "upload-told" });
  const card = el(
    "section",
    { class: "card upload", "aria-labelledby": "upload-title" },
    el("h2", { id: "upload-title" }, "Score an exam"),
    el("p", {}, "All DICOM files of one exam, a ZIP of them, or a folder. Drop them here, or"),
    el("label", { for: "files" }, "pick files"),
    field,
    told,
    el("p", { class: "quiet" }, "They go to this service and nowhere else, without their names. It answers when the prediction is in its log."),
  );
  field.addEventListener("change", () => send([...field.files], told));
  for (const name of ["dragenter", "dragover"]) {
    card.addEventListener(name, (event) => {
      event.preventDefault();
      card.classList.add("over-it");
    });
  }
  card.addEventListener("dragleave", () => card.classList.remove("over-it"));
  card.addEventListener("drop", async (event) => {
    event.preventDefault();
    card.classList.remove("over-it");
    send(await dropped(event.dataTransfer), told);
  });
  return card;
}

/** Return the files of a drop, with those in its folders. */
async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files];
  return (await Promise.all(entries.map(filesOf))).flat();
}

async function filesOf(entry) {
  if (entry.isFile) return [await new Promise((done, failed) => entry.file(done, failed))];
  const reader = entry.createReader();
  const found = [];
  for (;;) {  // a reader gives at most a hundred at a time
    const some = await new Promise((done, failed) => reader.readEntries(done, failed));
    if (!some.length) break;
    found.push(...some);
  }
  return (await Promise.all(found.map(filesOf))).flat();
}

async function send(files, told, key = crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`) {
  if (!files.length) return;
  const megabytes = files.reduce((sum, file) => sum + file.size, 0) / 1e6;
  const text = `Scoring ${files.length} file${files.length === 1 ? "" : "s"}, ${megabytes.toFixed(1)} MB…`;
  told.replaceChildren(el("p", { class: "busy" }, text));
  say(text);
  try {
    const exam = await scoreFiles(files, key);
    say(`Scored: ${exam.decision}`);
    location.hash = `#/exam/${encodeURIComponent(exam.exam)}`;
  } catch (error) {
    // the same key: where the answer was lost on its way, the exam is not scored twice
    told.replaceChildren(problemCard(error, { again: () => send(files, told, key) }));
  }
}
