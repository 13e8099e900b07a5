// The conversation on the page: turns by the page's own id of a question, and by the message's id in the queue.

import { kept } from "./kept.js";

export const element = (id) => document.getElementById(id);
const conversation = element("conversation");

export const byId = new Map();
export const byMessage = new Map();

function make(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

/** Text only: paragraphs, `code`, and fenced blocks; nothing in it can become markup. */
function write(into, text) {
  into.replaceChildren();
  text.split(/^```/m).forEach((part, index) => {
    if (index % 2 === 1) {
      const block = make("pre");
      block.tabIndex = 0;
      block.append(make("code", "", part.replace(/^[^\n]*\n?/, "").replace(/\n$/, "")));
      into.append(block);
      return;
    }
    for (const paragraph of part.split(/\n{2,}/).map((text) => text.replace(/^\n+|\s+$/g, ""))) {
      if (!paragraph) continue;
      const written = make("p");
      written.dir = "auto";
      paragraph.split(/`([^`\n]+)`/).forEach((piece, index) => {
        if (piece) written.append(index % 2 ? make("code", "", piece) : piece);
      });
      into.append(written);
    }
  });
}

function part(className, who) {
  const made = make("article", className);
  made.append(make("h2", "who", who), make("div", "text"));
  return made;
}

/** A turn in its place: by its position in the log, and without one at the end. */
export function addTurn({ id, message, text, at = Date.now(), position = Infinity }) {
  const turn = { id, message, text, at, position, status: "kept" };
  turn.element = make("div", "turn");
  const asked = part("question", "You");
  write(asked.querySelector(".text"), text);
  turn.state = make("p", "state");
  turn.state.setAttribute("aria-live", "off");
  asked.append(turn.state);
  turn.element.append(asked);
  const later = [...conversation.querySelectorAll(".turn")].find((other) => Number(other.dataset.position) > position);
  turn.element.dataset.position = position;
  conversation.insertBefore(turn.element, later ?? null);
  if (id) byId.set(id, turn);
  if (message) byMessage.set(message, turn);
  return turn;
}

export function setStatus(turn, status, text) {
  turn.status = status;
  turn.state.textContent = text;
  turn.element.classList.toggle("failed", status === "failed");
}

export function showWaiting(turn) {
  if (turn.preview || turn.status === "answered") return;
  turn.preview = part("answer", "Answer under way");
  // Not read out while it grows: the finished answer is.
  turn.preview.setAttribute("aria-live", "off");
  turn.preview.setAttribute("aria-busy", "true");
  const dots = make("div", "waiting");
  dots.append(make("i"), make("i"), make("i"));
  turn.preview.querySelector(".text").append(dots);
  turn.element.append(turn.preview);
}

export function showPreview(turn, text) {
  if (turn.status === "answered") return;
  showWaiting(turn);
  setStatus(turn, "answering", "Answering…");
  write(turn.preview.querySelector(".text"), text);
}

export function showAnswer(turn, { message, position, answer, fallback }) {
  if (turn.status === "answered") return;
  turn.message = message;
  turn.position = position;
  turn.element.dataset.position = position;
  byMessage.set(message, turn);
  setStatus(turn, "answered", "");
  turn.preview?.remove();
  turn.preview = null;
  const answered = part(fallback ? "answer fallback" : "answer", "Answer");
  write(answered.querySelector(".text"), answer);
  turn.element.append(answered);
  if (turn.id) kept.remove(`ask:${turn.id}`);
}

/** Keeps the end in view while the reader is there, and stays where a reader has gone. */
export function keepingPlace(change) {
  const fromEnd = conversation.scrollHeight - conversation.scrollTop - conversation.clientHeight;
  change();
  if (fromEnd < 80) scrollToEnd();
  showLatest();
}

export const scrollToEnd = () => conversation.scrollTo({ top: conversation.scrollHeight });

export function showLatest() {
  const fromEnd = conversation.scrollHeight - conversation.scrollTop - conversation.clientHeight;
  element("latest").hidden = fromEnd < 160;
}
