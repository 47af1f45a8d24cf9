// The changing part of the overview, replaced whenever the server says that something happened.
// Without this file the page is complete and reloads by its link. Nothing is sent from here.
(() => {
  "use strict";
  const part = document.getElementById("live");
  const state = document.getElementById("live-state");
  if (!part || !state || !window.EventSource) return;
  let source = null;
  const say = (text) => { state.textContent = text; };
  const isBusy = () => part.contains(document.activeElement) || part.querySelector("details[open]") !== null;
  let waiting = null;
  const show = (html) => {
    // Never pull the page away from under somebody who reads or tabs through it.
    if (isBusy()) { waiting = html; return; }
    waiting = null;
    part.innerHTML = html;
  };
  const listen = () => {
    source = new EventSource(part.dataset.source);
    source.addEventListener("hello", () => say("Live"));
    source.addEventListener("changed", (event) => show(event.data));
    source.onerror = () => say("Not live just now; trying again.");
  };
  part.addEventListener("focusout", () => setTimeout(() => { if (waiting !== null) show(waiting); }, 500));
  document.addEventListener("visibilitychange", () => {
    if (document.hidden && source) { source.close(); source = null; say("Paused while hidden"); }
    else if (!document.hidden && !source) { listen(); }
  });
  listen();
})();
