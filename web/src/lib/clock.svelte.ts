// The time, for everything on the page that ages. Ticks only while somebody looks.

import { createSubscriber } from 'svelte/reactivity';

function ticking(every: number): () => number {
  const subscribe = createSubscriber((update) => {
    const timer = setInterval(update, every);
    return () => clearInterval(timer);
  });
  return () => {
    subscribe();
    return Date.now();
  };
}

/** Now, to the tenth of a second. */
export const fastNow = ticking(100);
/** Now, to the quarter of a minute. */
export const slowNow = ticking(15_000);
