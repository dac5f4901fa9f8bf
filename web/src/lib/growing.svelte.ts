// Text that grows as it is said.

import type { Attachment } from 'svelte/attachments';

/** Writes a text into an element. What stands there already is not shaped anew when more is said. */
export function growing(text: () => string): Attachment<HTMLElement> {
  return (element) => {
    const node = element.appendChild(document.createTextNode(''));
    $effect(() => {
      const now = text();
      if (now.startsWith(node.data)) node.appendData(now.slice(node.length));
      else node.data = now;
    });
    return () => node.remove();
  };
}
