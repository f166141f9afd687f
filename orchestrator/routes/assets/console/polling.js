// Asking again and again, while the page is looked at.
import { tell } from "./dom.js";

/** Call `step` now, and then every `every` ms until the page is left; hidden pages ask nothing. The first failure is thrown. */
export async function poll(signal, every, step) {
  await step();
  let failed = false;
  const again = async () => {
    if (signal.aborted) return;
    if (!document.hidden) {
      try { await step(); failed = false; } catch (error) {
        if (!signal.aborted && !failed) tell(String(error), { bad: true });
        failed = true;
      }
    }
    if (!signal.aborted) setTimeout(again, every);
  };
  setTimeout(again, every);
}
