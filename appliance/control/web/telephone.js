"use strict";

const find = (id) => document.getElementById(id);

/* The appliance's calls, each with what can be done with it now. What is shown is what `status` says: asked for again after each event. */
const telephone = (() => {
  const KEYS = "123456789*0#";
  const ANSWERED = ["connected", "held", "transferring"];
  const STATES = {
    incoming: "calls", ringing: "rings", early: "rings", dialing: "is being called", connected: "on the line", held: "on hold",
    transferring: "is being transferred",
  };
  const LOOK_MS = 50;
  const cards = new Map();
  const recorded = new Set();
  let able = new Set();
  let room = false;
  let looking = 0;

  const answered = (call) => ANSWERED.includes(call.state);
  const asks = (call) => call.direction === "in" && !answered(call);
  const DEEDS = [
    { name: "take", command: "call.answer", label: (call) => (asks(call) ? "Answer" : "Take over"), fields: () => ({ line: "room" }),
      fits: (call) => room && call.place !== "room" && (asks(call) || call.state === "connected") },
    { name: "agent", command: "call.answer", label: (call) => (asks(call) ? "Let the agent answer" : "Hand to the agent"),
      fields: () => (room ? { line: "agent" } : {}), fits: (call) => asks(call) || (call.place === "room" && call.state === "connected") },
    { name: "reject", command: "call.reject", label: () => "Refuse", fits: asks },
    { name: "hold", command: "call.hold", label: () => "Hold", fits: (call) => call.state === "connected" },
    { name: "resume", command: "call.resume", label: () => "Resume", fits: (call) => call.state === "held" },
    { name: "record", command: "call.record", label: (call) => (recorded.has(call.call) ? "Stop recording" : "Record"),
      fields: (call) => ({ on: !recorded.has(call.call) }), pressed: (call) => recorded.has(call.call), fits: answered },
    { name: "hangup", command: "call.hangup", label: () => "Hang up", fits: (call) => !asks(call) },
  ];

  function look() {
    window.clearTimeout(looking);
    looking = window.setTimeout(() => send("status", {}, (state) => show(state)), LOOK_MS);
  }

  function act(command, fields) {
    notice("", "");
    send(command, fields, look);
  }

  function greet(hello) {
    able = new Set(may(hello, "control") ? hello.capabilities : []);
    room = hello.state.mute !== null;
    find("telephone").hidden = !hello.capabilities.includes("call.dial");
    find("dial").hidden = !able.has("call.dial");
    find("dnd").hidden = !able.has("call.dnd");
    show(hello.state);
  }

  function show(state) {
    find("dnd").setAttribute("aria-pressed", String(Boolean(state.do_not_disturb)));
    const names = new Set(state.calls.map((call) => call.call));
    for (const [name, card] of cards) {
      if (names.has(name)) continue;
      card.item.remove();
      cards.delete(name);
      recorded.delete(name);
    }
    for (const call of state.calls) update(cards.get(call.call) || made(call), call);
    find("calls").textContent = state.calls.length ? String(state.calls.length) : "none";
  }

  function made(call) {
    const item = find("call").content.firstElementChild.cloneNode(true);
    const card = { item, call, buttons: new Map() };
    for (const deed of DEEDS) {
      const button = document.createElement("button");
      button.type = "button";
      button.dataset.deed = deed.name;
      button.addEventListener("click", () => act(deed.command, { call: card.call.call, ...(deed.fields ? deed.fields(card.call) : {}) }));
      card.buttons.set(deed, button);
      item.querySelector(".deeds").append(button);
    }
    for (const key of KEYS) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = key;
      button.addEventListener("click", () => act("call.dtmf", { call: card.call.call, digits: key }));
      item.querySelector(".pad").append(button);
    }
    const form = item.querySelector("form");
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const mode = form.elements.first.checked ? "attended" : "blind";
      act("call.transfer", { call: card.call.call, to: form.elements.to.value.trim(), mode });
    });
    cards.set(call.call, card);
    find("call-list").append(item);
    return card;
  }

  function update(card, call) {
    card.call = call;
    card.item.dataset.state = call.state;
    card.item.querySelector(".who").textContent = call.display_name || call.peer.replace(/^sips?:/, "");
    const place = !answered(call) ? "" : call.place === "room" ? ", with the room" : ", with the agent";
    card.item.querySelector(".how").textContent = `${STATES[call.state] || call.state}${place}`;
    for (const [deed, button] of card.buttons) {
      button.hidden = !able.has(deed.command) || !deed.fits(call);
      button.textContent = deed.label(call);
      if (deed.pressed) button.setAttribute("aria-pressed", String(deed.pressed(call)));
    }
    for (const more of card.item.querySelectorAll("details")) more.hidden = !able.has("call.dtmf") || !answered(call);
  }

  function heard(message) {
    if (message.type === "recording") {
      if (message.state === "started") recorded.add(message.call);
      else recorded.delete(message.call);
    }
    look();
  }

  find("dial").addEventListener("submit", (event) => {
    event.preventDefault();
    act("call.dial", { to: find("number").value.trim(), ...(room ? { line: "room" } : {}) });
    find("number").value = "";
  });
  find("dnd").addEventListener("click", () => act("call.dnd", { on: find("dnd").getAttribute("aria-pressed") !== "true" }));
  return { greet, heard };
})();
