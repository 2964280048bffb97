// The pages work without this. Times get the reader's own beside UTC, as a hint.
"use strict";
function hint(part) {
  for (const time of part.querySelectorAll("time[datetime]")) {
    time.title = new Date(time.dateTime).toLocaleString(undefined, { timeZoneName: "short" });
  }
}
hint(document);

// What comes in now; not while nobody looks, nor while somebody is in the table.
for (const part of document.querySelectorAll("[data-refresh]")) {
  const timer = setInterval(async () => {
    if (document.hidden || part.matches(":focus-within")) return;
    const answer = await fetch(part.dataset.refresh, { redirect: "error" }).catch(() => null);
    if (answer !== null && answer.status === 403) clearInterval(timer); // the session is over
    if (answer === null || !answer.ok) return;
    part.innerHTML = await answer.text();
    hint(part);
  }, 5000);
}
