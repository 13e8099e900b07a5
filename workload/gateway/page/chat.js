// The web chat's page. Its protocol is described in the web chat's adapter; what it promises: a question that was
// written is asked, with the same id, until its answer has been seen, whatever happens to the connection or the page.

import { kept, randomId, userId } from "./kept.js";
import {
  addTurn, byId, byMessage, element, keepingPlace, scrollToEnd, setStatus, showAnswer, showLatest, showPreview, showWaiting,
} from "./turns.js";

const VERSION = 1;
const SILENCE_MS = 45_000;
const READY_WITHIN_MS = 15_000;
const LONGEST_PAUSE_MS = 30_000;
const CLOSED_BY_RESTART = 1012;
const KEPT = "Kept until there is a connection";

const conversation = element("conversation");
const question = element("question");

/* The connection. */

let socket = null;
let live = false;
let stopped = false;
let attempts = 0;
let heardAt = 0;
let pauseTimer = 0;
let cursor = null;
let hasHistory = false;
let maxCharacters = 4000;

function tell(state, text) {
  const connection = element("connection");
  if (connection.textContent !== text) connection.textContent = text;
  connection.dataset.state = state;
  element("retry").hidden = state !== "offline" || stopped;
}

function connect() {
  clearTimeout(pauseTimer);
  if (stopped || (socket && socket.readyState <= WebSocket.OPEN)) return;
  if (attempts === 0) tell("connecting", "Connecting…");
  const address = new URL("socket", location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  const opened = new WebSocket(address);
  socket = opened;
  heardAt = Date.now();
  const impatience = setTimeout(() => leave(opened), READY_WITHIN_MS);
  opened.onopen = () => {
    const hello = { type: "hello", version: VERSION, user: userId(), history: !hasHistory };
    const seen = cursor ?? kept.get("cursor");
    try {
      if (seen) hello.cursor = JSON.parse(seen);
    } catch {
      kept.remove("cursor");
    }
    opened.send(JSON.stringify(hello));
  };
  opened.onmessage = ({ data }) => {
    if (socket !== opened) return;
    heardAt = Date.now();
    const frame = JSON.parse(data);
    if (frame.type === "ready") clearTimeout(impatience);
    keepingPlace(() => receive(frame));
  };
  opened.onclose = ({ code }) => {
    clearTimeout(impatience);
    if (socket === opened) lost(code);
  };
}

/** Gives a connection up at once; a dead one would take long to close. */
function leave(opened) {
  opened.close();
  if (socket === opened) lost(0);
}

function lost(code) {
  socket = null;
  live = false;
  if (stopped) return;
  for (const turn of unanswered()) {
    setStatus(turn, "kept", turn.message ? "Sent; the answer comes with the connection" : KEPT);
  }
  const restart = code === CLOSED_BY_RESTART;
  const longest = restart ? 1_000 : Math.min(LONGEST_PAUSE_MS, 500 * 2 ** attempts);
  attempts = Math.min(attempts + 1, 10);
  if (!navigator.onLine) {
    tell("offline", "You are offline. What you write is kept and sent later.");
  } else if (restart) {
    tell("connecting", "The chat is restarting. It will be back in a moment.");
  } else {
    tell("offline", "No connection. Trying again; what you write is kept.");
  }
  pauseTimer = setTimeout(connect, longest * (0.5 + Math.random() / 2));
}

function receive(frame) {
  switch (frame.type) {
    case "welcome":
      maxCharacters = frame.maxCharacters;
      checkLength();
      break;
    case "history":
      showHistory(frame);
      break;
    case "ready":
      keepCursor(frame.cursor);
      live = true;
      attempts = 0;
      tell("connected", "Connected");
      unanswered().forEach(ask);
      break;
    case "ack":
      acknowledged(frame);
      break;
    case "refused":
      refused(frame);
      break;
    case "question":
      if (!byId.has(frame.id) && !byMessage.has(frame.message)) showWaiting(addTurn(frame));
      break;
    case "preview": {
      const turn = byMessage.get(frame.message);
      if (turn) showPreview(turn, frame.text);
      break;
    }
    case "reply":
      replied(frame);
      break;
    case "cursor":
      keepCursor(frame.cursor);
      break;
    case "error":
      if (frame.reload) {
        stopped = true;
        tell("offline", "This page is out of date. Reload it to go on.");
        element("reload").hidden = false;
      }
      break;
  }
}

function keepCursor(seen) {
  cursor = JSON.stringify(seen);
  kept.set("cursor", cursor);
}

function showHistory({ turns, complete }) {
  // A history is read by whoever wants to, not read out.
  conversation.setAttribute("aria-live", "off");
  for (const { message, position, question, answer, fallback } of turns) {
    if (byMessage.get(message)?.status === "answered") continue;
    const turn = byMessage.get(message) ?? addTurn({ message, text: question, position });
    showAnswer(turn, { message, position, answer, fallback });
  }
  hasHistory = complete;
  element("notice").hidden = complete && kept.lasting;
  element("notice").textContent = complete
    ? "This browser keeps nothing: the conversation ends with this page."
    : "Earlier messages cannot be shown at the moment.";
  scrollToEnd();
  requestAnimationFrame(() => conversation.setAttribute("aria-live", "polite"));
}

const unanswered = () =>
  [...byId.values()].filter(({ status }) => status !== "answered" && status !== "failed").sort((a, b) => a.at - b.at);

function ask(turn) {
  if (!live) {
    setStatus(turn, "kept", KEPT);
    return;
  }
  clearTimeout(turn.timer);
  if (turn.status !== "answering") setStatus(turn, "sending", "Sending…");
  socket.send(JSON.stringify({ type: "ask", id: turn.id, text: turn.text, age: Math.max(0, Date.now() - turn.at) }));
}

function acknowledged({ id, message }) {
  const turn = byId.get(id);
  if (!turn) return;
  const known = byMessage.get(message);
  if (known && known !== turn) {
    // The history had it already, under its other name.
    kept.remove(`ask:${id}`);
    turn.element.remove();
    byId.set(id, known);
    known.id = id;
    return;
  }
  turn.message = message;
  byMessage.set(message, turn);
  if (turn.status !== "sending") return;
  setStatus(turn, "sent", "Sent");
  showWaiting(turn);
}

function refused({ id, message, retryAfterMs }) {
  const turn = byId.get(id);
  if (!turn || turn.status === "answered") return;
  if (retryAfterMs === undefined) {
    kept.remove(`ask:${id}`);
    setStatus(turn, "failed", `Not sent: ${message}`);
    return;
  }
  const seconds = Math.max(1, Math.ceil(retryAfterMs / 1000));
  setStatus(turn, "kept", `Not sent yet: ${message}. Trying again in ${seconds} s.`);
  clearTimeout(turn.timer);
  turn.timer = setTimeout(() => live && turn.status === "kept" && ask(turn), retryAfterMs);
}

function replied(frame) {
  const turn =
    byMessage.get(frame.message) ??
    byId.get(frame.id) ??
    addTurn({ id: frame.id, message: frame.message, text: frame.question, position: frame.position });
  showAnswer(turn, frame);
}

/* Writing. */

const length = () => Array.from(question.value).length;

function checkLength() {
  const over = length() - maxCharacters;
  const left = over > -Math.min(500, maxCharacters / 5) && over <= 0;
  element("hint").textContent = left ? `${-over} characters left.` : "Enter sends, Shift + Enter starts a new line.";
  element("problem").textContent =
    over > 0 ? `This is ${over} ${over === 1 ? "character" : "characters"} too long; at most ${maxCharacters} can be sent.` : "";
  return over <= 0;
}

function submit(event) {
  event.preventDefault();
  question.focus();
  const text = question.value.trim();
  if (!text || !checkLength()) return;
  const id = randomId();
  const turn = addTurn({ id, text });
  kept.set(`ask:${id}`, JSON.stringify({ text, at: turn.at }));
  question.value = "";
  written();
  ask(turn);
  scrollToEnd();
}

function written() {
  checkLength();
  sessionStorageSet("draft", question.value);
  if (CSS.supports("field-sizing", "content")) return;
  question.style.height = "auto";
  question.style.height = `${question.scrollHeight + 2}px`;
}

function sessionStorageSet(key, value) {
  try {
    sessionStorage.setItem(kept.prefix + key, value);
  } catch {
    // A draft is a comfort, nothing more.
  }
}

function startAnew() {
  if (!confirm("Start a new conversation? This one will no longer be shown in this browser.")) return;
  kept.clear();
  stopped = true;
  location.reload();
}

/* Beginning. */

element("composer").addEventListener("submit", submit);
element("retry").addEventListener("click", () => {
  attempts = 0;
  connect();
  question.focus();
});
element("reload").addEventListener("click", () => location.reload());
element("anew").addEventListener("click", startAnew);
element("latest").addEventListener("click", () => {
  scrollToEnd();
  question.focus();
});
conversation.addEventListener("scroll", showLatest, { passive: true });
question.addEventListener("input", written);
question.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  element("composer").requestSubmit();
});

/** Something may have changed for the better: no waiting for the next attempt, no trust in an old connection. */
function lookAgain() {
  if (socket && Date.now() - heardAt > SILENCE_MS) leave(socket);
  if (socket) return;
  attempts = 0;
  connect();
}
addEventListener("online", lookAgain);
document.addEventListener("visibilitychange", () => document.hidden || lookAgain());
addEventListener("offline", () => socket && leave(socket));
setInterval(() => {
  if (socket && live && Date.now() - heardAt > SILENCE_MS) leave(socket);
}, 5_000);
addEventListener("storage", ({ key, newValue }) => {
  // Another page of this browser has begun a new conversation.
  if (key === `${kept.prefix}user` && newValue !== null && newValue !== "") location.reload();
});

for (const turn of kept.questions()) {
  if (/^[0-9a-f]{32}$/.test(turn.id)) setStatus(addTurn(turn), "kept", "Not answered yet");
}
try {
  question.value = sessionStorage.getItem(`${kept.prefix}draft`) ?? "";
} catch {
  // As above.
}
written();
element("anew").hidden = false;
// On a phone this would bring up the keyboard, over half of the conversation.
if (!matchMedia("(pointer: coarse)").matches) question.focus();
connect();
