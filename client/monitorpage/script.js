"use strict";
const live = document.getElementById("live");
const body = document.body.classList;
let updates, again;

function start() {
  clearTimeout(again);
  updates?.close();
  updates = new EventSource(location.search || "?");
  updates.onmessage = (e) => {
    show(e.data);
    if (document.hidden) later(15000); // a browser has few connections for one server
  };
  updates.onerror = () => {
    body.add("stale");
    if (updates.readyState === EventSource.CLOSED) later(10000);
  };
}

function later(ms) {
  updates.close();
  clearTimeout(again);
  again = setTimeout(start, ms);
}

function show(html) {
  body.remove("stale");
  const held = !getSelection().isCollapsed && live.contains(getSelection().anchorNode);
  body.toggle("held", held);
  if (held || live.matches(":active")) return; // do not take away what someone copies or clicks
  const focused = live.contains(document.activeElement) && document.activeElement.getAttribute("href");
  const scrolled = [...live.querySelectorAll(".box")].map((box) => box.scrollLeft);
  live.innerHTML = html;
  live.querySelectorAll(".box").forEach((box, n) => box.scrollLeft = scrolled[n] ?? 0);
  if (focused) live.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus();
  const { title, icon } = live.querySelector("footer").dataset;
  document.title = title;
  document.querySelector("link[rel=icon]").href = icon;
}

document.querySelector(".filter input")?.addEventListener("input", (e) => {
  const query = new URLSearchParams([...new FormData(e.target.form)].filter(([, value]) => value));
  history.replaceState(null, "", "?" + query);
  later(200);
});
document.addEventListener("visibilitychange", () => document.hidden || start());
addEventListener("pagehide", () => updates.close());
addEventListener("pageshow", (e) => e.persisted && start());
start();
