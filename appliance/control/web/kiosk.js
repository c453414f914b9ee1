"use strict";

const ROOM = "room";
const SHOWN = 50;
const RETRY_FIRST_MS = 500;
const RETRY_LAST_MS = 10000;
const TURNS = { idle: "Idle", listening: "Listening", thinking: "Thinking", speaking: "Speaking" };

const SCOPES = ["observe", "talk", "control", "admin"];

const results = new Map();
const lines = new Map();
let socket = null;
let nextId = 1;
let retryMs = RETRY_FIRST_MS;
let held = false;
let muted = false;

function token() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    sessionStorage.setItem("token", given);
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem("token");
}

function connect() {
  const secret = token();
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const protocols = secret ? ["handset.v1", `bearer.${secret}`] : ["handset.v1"];
  socket = new WebSocket(`${scheme}//${location.host}/v1`, protocols);
  socket.addEventListener("message", (message) => {
    if (typeof message.data === "string") take(JSON.parse(message.data));
  });
  socket.addEventListener("close", closed);
}

function closed(event) {
  held = false;
  results.clear();
  find("telephone").hidden = true;
  find("talk").classList.remove("held");
  for (const id of ["talk", "mute"]) find(id).disabled = true;
  if (event.code === 4401 || event.code === 4403) {
    find("link").textContent = event.reason || "a token is needed";
    sessionStorage.removeItem("token");
    find("pairing").hidden = false;
    return;
  }
  find("link").textContent = "not connected; trying again";
  setTimeout(connect, retryMs);
  retryMs = Math.min(retryMs * 2, RETRY_LAST_MS);
}

function send(type, fields, done) {
  if (socket.readyState !== WebSocket.OPEN) return;
  const id = String(nextId++);
  if (done) results.set(id, done);
  socket.send(JSON.stringify({ type, id, ...fields }));
}

function answered(message) {
  const done = results.get(message.id);
  results.delete(message.id);
  if (done && message.type === "result") done(message.data);
}

function take(message) {
  const show = {
    hello: () => greeted(message),
    result: () => answered(message),
    error: () => { answered(message); notice(message.message, message.hint); },
    warning: () => notice(message.message, message.hint),
    turn: () => turn(message.state),
    transcript: () => transcript(message),
    notification: () => notice(message.text, ""),
    registration: () => registration(message),
    call: () => telephone.heard(message),
    "call.place": () => telephone.heard(message),
    recording: () => telephone.heard(message),
    mute: () => { if (message.line === undefined || message.line === ROOM) muteIs(message.on); },
    provider: () => { find("provider").textContent = message.state === "up" ? message.provider : `${message.provider} is ${message.state}`; },
    interrupted: () => turn("listening"),
  }[message.type];
  if (show) show();
}

function registration(told) {
  const name = told.account && told.account !== "default" ? `${told.account}: ` : "";
  find("registration").textContent = `${name}${told.state} ${told.reason || ""}`.trim();
}

/* Whether this page's token reaches so far; a daemon that does not say so refuses by itself. */
function may(hello, scope) {
  return hello.scope === undefined || SCOPES.indexOf(hello.scope) >= SCOPES.indexOf(scope);
}

function greeted(hello) {
  retryMs = RETRY_FIRST_MS;
  find("pairing").hidden = true;
  find("link").textContent = "connected";
  find("name").textContent = hello.device.name || "Handset";
  document.title = hello.device.name || "Handset";
  const state = hello.state;
  const account = state.registration.state || "off";
  find("registration").textContent = account === "off" ? state.telephone.state : account;
  telephone.greet(hello);
  muteIs(Boolean(state.mute));
  const provider = Object.entries(state.providers).find(([, entry]) => entry.state === "up");
  if (provider) find("provider").textContent = provider[0];
  const room = state.mute !== null;
  find("talk").disabled = !room || !may(hello, "talk");
  find("mute").disabled = !room || !may(hello, "control");
  if (!room) find("link").textContent = "connected; this appliance has no room line";
}

function turn(state) {
  find("state").textContent = TURNS[state] || state;
  find("state").dataset.state = state;
}

function transcript(said) {
  const key = `${said.session} ${said.turn} ${said.role}`;
  const list = find("transcript");
  let item = lines.get(key);
  if (!item) {
    item = document.createElement("li");
    item.append(document.createElement("b"), document.createElement("span"));
    item.firstChild.textContent = said.role === "user" ? "You" : "Handset";
    list.append(item);
    lines.set(key, item);
    if (lines.size > SHOWN) {
      const [oldest, element] = lines.entries().next().value;
      element.remove();
      lines.delete(oldest);
    }
  }
  item.lastChild.textContent = said.heard !== undefined ? said.heard : said.text;
  item.classList.toggle("unfinished", !said.final);
  list.scrollTop = list.scrollHeight;
}

function muteIs(on) {
  muted = on;
  find("mute").setAttribute("aria-pressed", String(on));
  find("mute").textContent = on ? "Muted" : "Mute";
}

function notice(text, hint) {
  find("notice").textContent = hint ? `${text} (${hint})` : text;
}

function press(event) {
  if (held || find("talk").disabled) return;
  event.preventDefault();
  held = true;
  notice("", "");
  find("talk").classList.add("held");
  send("ptt.press", { line: ROOM });
}

function release() {
  if (!held) return;
  held = false;
  find("talk").classList.remove("held");
  send("ptt.release", { line: ROOM });
}

find("talk").addEventListener("pointerdown", press);
find("talk").addEventListener("keydown", (event) => {
  if ((event.key === " " || event.key === "Enter") && !event.repeat) press(event);
});
find("talk").addEventListener("keyup", release);
find("talk").addEventListener("blur", release);
find("talk").addEventListener("contextmenu", (event) => event.preventDefault());
for (const end of ["pointerup", "pointercancel"]) window.addEventListener(end, release);
document.addEventListener("visibilitychange", () => { if (document.hidden) release(); });
find("mute").addEventListener("click", () => send("mute", { line: ROOM, on: !muted }));
find("pairing").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", find("token").value.trim());
  find("token").value = "";
  connect();
});

connect();
