// The pages work without this. Times get the reader's own beside UTC, as a hint.
"use strict";
for (const time of document.querySelectorAll("time[datetime]")) {
  time.title = new Date(time.dateTime).toLocaleString(undefined, { timeZoneName: "short" });
}
