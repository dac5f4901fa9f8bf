// The tools behind the gate that are given to a conversation, as the address and `?tools=` name them: `knowledge,tracker.find`.

import type { Tool, ToolServer } from './api.gen.ts';

export interface Given {
  /** `SERVER`, which is all of it, or `SERVER.TOOL`. */
  name: string;
  server: ToolServer;
  tool: Tool | null;
}

/** What may be given: of each server all of it, and each of its tools. */
function all(servers: ToolServer[]): Given[] {
  return servers.flatMap((server): Given[] => [
    { name: server.name, server, tool: null },
    ...server.tools.map((tool) => ({ name: `${server.name}.${tool.name}`, server, tool })),
  ]);
}

/** Those that are named and that there are, once each; a tool of a server that is given whole is not named beside it. */
export function given(servers: ToolServer[], named: string): Given[] {
  const names = new Set(named.split(','));
  return all(servers).filter((it) => names.has(it.name) && (it.tool === null || !names.has(it.server.name)));
}

/** What can be given beside those, by server. */
export function others(servers: ToolServer[], chosen: Given[]): { server: ToolServer; whole: boolean; tools: Tool[] }[] {
  const names = new Set(chosen.map((it) => it.name));
  const left = servers.filter((server) => !names.has(server.name));
  return left.map((server) => ({ server, whole: server.tools.length !== 1, tools: server.tools.filter((tool) => !names.has(`${server.name}.${tool.name}`)) }))
    .filter((it) => it.whole || it.tools.length > 0);
}

export const named = (chosen: Given[]) => chosen.map((it) => it.name).join(',');
