"use strict";
(() => {
  const traces = [...document.querySelectorAll(".trace")];
  const words = document.getElementById("words");
  const rule = document.getElementById("rule");
  const outcome = document.getElementById("outcome");
  const count = document.getElementById("count");
  const bar = document.querySelector(".bar");
  bar.hidden = false;
  const filter = () => {
    const wanted = words.value.toLowerCase();
    let shown = 0;
    for (const trace of traces) {
      const fits =
        (!rule.value || trace.dataset.rules.split(" ").includes(rule.value)) &&
        (!outcome.value || trace.dataset.outcome === outcome.value || trace.dataset.drop === outcome.value) &&
        (!wanted || trace.textContent.toLowerCase().includes(wanted));
      trace.hidden = !fits;
      shown += fits;
    }
    count.textContent = `${shown} of ${traces.length}`;
  };
  const step = (by) => {
    const open = traces.filter((trace) => !trace.hidden);
    const here = open.indexOf(document.activeElement);
    const next = open[Math.min(open.length - 1, Math.max(0, here + by))];
    if (next) {
      next.focus({ preventScroll: true });
      next.scrollIntoView({ block: "center" });
    }
  };
  for (const control of [words, rule, outcome]) control.addEventListener("input", filter);
  document.addEventListener("keydown", (event) => {
    if (["INPUT", "SELECT"].includes(event.target.tagName) || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "j") step(1);
    else if (event.key === "k") step(-1);
    else if (event.key === "/") words.focus();
    else return;
    event.preventDefault();
  });
  filter();
})();
