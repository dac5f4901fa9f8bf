// A service of models on this machine that somebody could pay for: it speaks chat completions and says one sentence.

import { once } from 'node:events';
import { createServer } from 'node:http';

export const SENTENCE = 'Said by an endpoint of my own.';

export async function vendor() {
  const keys = [];
  const service = createServer(async (request, answer) => {
    keys.push(request.headers.authorization);
    let body = '';
    for await (const piece of request) body += piece;
    const { model, stream } = JSON.parse(body);
    const head = { id: 'c1', created: 1, model };
    const usage = { prompt_tokens: 9, completion_tokens: 6, total_tokens: 15 };
    if (!stream) {
      const choices = [{ index: 0, message: { role: 'assistant', content: SENTENCE }, finish_reason: 'stop' }];
      answer.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ ...head, object: 'chat.completion', choices, usage }));
      return;
    }
    answer.writeHead(200, { 'content-type': 'text/event-stream' });
    const piece = (delta, finish_reason = null, more = {}) => answer.write(`data: ${JSON.stringify({ ...head, object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason }], ...more })}\n\n`);
    piece({ role: 'assistant', content: SENTENCE });
    piece({}, 'stop', { usage });
    answer.end('data: [DONE]\n\n');
  });
  service.listen(0, '127.0.0.1');
  await once(service, 'listening');
  return {
    url: `http://127.0.0.1:${service.address().port}`,
    /** What it was shown as a key, call by call. */
    keys,
    stop() {
      service.close();
      service.closeAllConnections();
    },
  };
}
