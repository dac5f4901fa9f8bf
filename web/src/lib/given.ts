// The arguments of a call as name and text: commands and paths read better than JSON does.

export function given(args: unknown): [string, string][] {
  if (args === null || args === undefined) return [];
  if (typeof args !== 'object' || Array.isArray(args)) return [['', text(args)]];
  return Object.entries(args).map(([name, value]) => [name, text(value)]);
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value, null, 2);
}
