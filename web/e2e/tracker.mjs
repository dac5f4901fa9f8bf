// A server of tools on this machine, as an operator may name one: it finds and closes issues.

import { once } from 'node:events';
import { createServer } from 'node:http';

export const ANSWER = 'Issue 7 is about herons.';

const tool = (name) => ({ name, inputSchema: { type: 'object' } });
const results = {
  initialize: { protocolVersion: '2025-06-18', capabilities: { tools: {} } },
  'tools/list': { tools: [tool('find'), tool('close')] },
  'tools/call': { content: [{ type: 'text', text: ANSWER }] },
};

export async function tracker() {
  const service = createServer(async (request, answer) => {
    let body = '';
    for await (const piece of request) body += piece;
    const { id, method } = body === '' ? {} : JSON.parse(body);
    if (id === undefined) answer.writeHead(202).end();
    else answer.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ jsonrpc: '2.0', id, result: results[method] ?? {} }));
  });
  service.listen(0, '127.0.0.1');
  await once(service, 'listening');
  const url = `http://127.0.0.1:${service.address().port}/mcp`;
  return {
    /** How an operator names it. */
    settings: `[mcp.tracker]\nurl = "${url}"\nabout = "Issues of the team"\nreads = ["find"]\nacts = ["close"]\n`,
    stop() {
      service.close();
      service.closeAllConnections();
    },
  };
}
