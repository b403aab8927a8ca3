"use strict";
const live = document.getElementById("live");
const updates = new EventSource(location.search || "?");
updates.onmessage = (e) => {
  if (!getSelection().isCollapsed) return; // do not take away what someone copies
  const focused = live.contains(document.activeElement) && document.activeElement.getAttribute("href");
  live.innerHTML = e.data;
  if (focused) live.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus();
  document.body.classList.remove("stale");
};
updates.onerror = () => document.body.classList.add("stale");
addEventListener("pagehide", () => updates.close());
addEventListener("pageshow", (e) => e.persisted && location.reload());
