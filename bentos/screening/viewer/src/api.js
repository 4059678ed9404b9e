/** The service as the viewer asks it: JSON, pixels, files, and refusals that say why. */

const KEY = "mammo.token";
let token = "";
try {
  token = sessionStorage.getItem(KEY) ?? "";
} catch {
  token = ""; // storage is switched off in this browser: the token lives as long as the page
}

/** A refusal of the service (RFC 9457), or that it could not be reached. */
export class Problem extends Error {
  /** @param {{status?: number, code?: string, title?: string, detail?: string, refused?: any, retryAfter?: number|null}} told */
  constructor(told) {
    super(told.detail ?? told.title ?? "The service refused this.");
    this.status = told.status ?? 0;
    this.code = told.code ?? "UNREACHABLE";
    this.refused = Array.isArray(told.refused) ? told.refused : [];
    this.retryAfter = told.retryAfter ?? null;
  }

  /** True when the service wants a token, or another one. */
  get wantsToken() {
    return this.status === 401;
  }
}

export const hasToken = () => token !== "";

/** Keep a token for this tab only; an empty one forgets it. */
export function setToken(text) {
  token = text.trim();
  try {
    if (token) sessionStorage.setItem(KEY, token);
    else sessionStorage.removeItem(KEY);
  } catch {
    return; // kept in memory only
  }
}

/**
 * Ask and return the response. Throws Problem for a refusal or where nobody answers.
 * @param {string} path
 * @param {RequestInit} [more]
 */
export async function ask(path, more = {}) {
  const headers = new Headers(more.headers);
  if (token) headers.set("Authorization", `Bearer ${token}`);
  let response;
  try {
    response = await fetch(path, { ...more, headers, credentials: "omit" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ detail: "The service cannot be reached. Is it running? `mammo up` starts it." });
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

async function refusal(response) {
  const retryAfter = Number(response.headers.get("Retry-After")) || null;
  let told = {};
  try {
    told = await response.json();
  } catch {
    told = { title: `The service answered ${response.status} without saying why.`, code: "NO_REASON" };
  }
  return new Problem({ ...told, status: response.status, retryAfter });
}

export const json = async (path, more) => (await ask(path, more)).json();

const exam = (id) => `/v1/exams/${encodeURIComponent(id)}`;

/** Return one page of the worklist: `{exams, next}`. */
export function listExams({ search = "", state = "", before = "", limit = 50 } = {}, signal) {
  const asked = new URLSearchParams({ limit: String(limit) });
  for (const [name, value] of Object.entries({ search, state, before })) {
    if (value) asked.set(name, value);
  }
  return json(`/v1/exams?${asked}`, { signal });
}

export const readExam = (id) => json(exam(id));

/** Return the images of an exam; right after its scoring they may take some seconds to be made, on a busy machine a minute. */
export async function readImages(id, tries = 120) {
  try {
    return await json(`${exam(id)}/images`);
  } catch (error) {
    if (error.code !== "IMAGES_NOT_READY" || tries <= 0) throw error;
    await new Promise((done) => setTimeout(done, 1000 * (error.retryAfter ?? 1)));
    return readImages(id, tries - 1);
  }
}

/** Score files; the same key sent again is the same request. */
export function scoreFiles(files, key, signal) {
  const body = new FormData();
  for (const [place, file] of files.entries()) body.append("files", file, nameSent(file, place));
  return json("/v1/exams", { method: "POST", body, headers: { "Idempotency-Key": key }, signal });
}

/** File names may hold a patient's name: only the position and the ending are sent. */
function nameSent(file, place) {
  const ending = /\.(dcm|zip)$/i.exec(file.name);
  return `${place + 1}${ending ? ending[0].toLowerCase() : ""}`;
}

export function recordOutcome(outcome) {
  return json("/v1/outcomes", {
    method: "POST",
    body: JSON.stringify(outcome),
    headers: { "Content-Type": "application/json" },
  });
}

/** Fetch a document of an exam (`report`, `cad`, `marks`) and let the browser save it. */
export async function saveDocument(id, kind) {
  const blob = await (await ask(`${exam(id)}/${kind}.dcm`)).blob();
  const url = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = url;
  link.download = `${id}-${kind}.dcm`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
