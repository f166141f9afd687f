// Asking again and again, while the page is looked at.
import { h } from "./dom.js";

const SLOW_MS = 3000;

/**
 * Call `step` now, and then every `every` ms until the page is left; hidden pages ask nothing. The first failure is thrown.
 * While `step` fails, or is not answered, a line at the head of the page says of when it is what the page shows.
 */
export async function poll(signal, every, step) {
  await step();
  let seen = new Date();
  const line = h("p", { class: "card bad", role: "alert", hidden: true });
  document.getElementById("content").prepend(line);
  const tell = (cause) => {
    if (signal.aborted) return;
    const text = `What is shown is of ${seen.toLocaleTimeString()}. ${cause} Trying again.`;
    // What is set again is read out again.
    if (line.textContent !== text) line.textContent = text;
    line.hidden = false;
  };
  const again = async () => {
    if (signal.aborted) return;
    if (!document.hidden) {
      const slow = setTimeout(() => tell("The service has not answered since then."), SLOW_MS);
      try {
        await step();
        seen = new Date();
        line.hidden = true;
      } catch (error) {
        tell(String(error));
      } finally {
        clearTimeout(slow);
      }
    }
    if (!signal.aborted) setTimeout(again, every);
  };
  setTimeout(again, every);
}
