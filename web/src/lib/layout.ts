// Where the pages of a graph stand. The same graph always looks the same; it is found in slices of time,
// so that the page answers meanwhile.

import { forceCollide, forceLink, forceManyBody, forceSimulation, forceX, forceY, type Simulation, type SimulationNodeDatum } from 'd3-force';
import type { Graph, Node } from './api.gen.ts';

/** A page with its place, how large it is drawn, and its neighbours by number. */
export interface Spot extends SimulationNodeDatum { node: Node; x: number; y: number; r: number; to: number[]; from: number[] }

const STEPS = 300;
/** Large graphs settle in fewer, longer steps. */
const STEPS_LARGE = 90;
const LARGE = 1500;

/** The pages and their links by number; a link to what is not there, or to itself, is none. */
export function spots(graph: Graph): Spot[] {
  const at = new Map(graph.nodes.map((node, index) => [node.path, index]));
  const all = graph.nodes.map((node): Spot => ({ node, x: NaN, y: NaN, r: 4, to: [], from: [] }));
  for (const { from, to } of graph.edges) {
    const [one, other] = [at.get(from), at.get(to)];
    if (one === undefined || other === undefined || one === other || all[one]?.to.includes(other)) continue;
    all[one]?.to.push(other);
    all[other]?.from.push(one);
  }
  for (const spot of all) spot.r = 4 + Math.min(9, Math.sqrt(spot.to.length + spot.from.length) * 1.6);
  return all;
}

export class Layout {
  readonly spots: Spot[];
  #simulation: Simulation<Spot, undefined>;
  #left: number;

  constructor(all: Spot[]) {
    this.spots = all;
    this.#left = all.length > LARGE ? STEPS_LARGE : STEPS;
    const links = all.flatMap((spot, source) => spot.to.map((target) => ({ source, target })));
    this.#simulation = forceSimulation(all)
      .stop()
      .alphaDecay(1 - 0.001 ** (1 / this.#left))
      .force('links', forceLink<Spot, { source: number; target: number }>(links).distance(72))
      .force('apart', forceManyBody<Spot>().strength(-170).theta(1.1).distanceMax(500))
      .force('across', forceX<Spot>(0).strength(0.05))
      .force('down', forceY<Spot>(0).strength(0.07))
      .force('room', forceCollide<Spot>((it) => it.r + 4));
  }

  /** Goes on for about so long; whether everything stands where it belongs. */
  settle(milliseconds: number): boolean {
    const until = performance.now() + milliseconds;
    while (this.#left > 0) {
      this.#simulation.tick();
      this.#left -= 1;
      if (performance.now() >= until) break;
    }
    return this.#left === 0;
  }
}

/** The nearest page in a direction, by number: near counts, and straight ahead counts more. */
export function nextIn(all: readonly Spot[], from: number, dx: number, dy: number): number {
  const start = all[from];
  if (start === undefined) return 0;
  let best = from;
  let least = Infinity;
  all.forEach((spot, index) => {
    const [x, y] = [spot.x - start.x, spot.y - start.y];
    const ahead = x * dx + y * dy;
    const aside = Math.abs(x * dy - y * dx);
    const cost = ahead + aside * 2;
    if (index !== from && ahead > 0 && cost < least) [best, least] = [index, cost];
  });
  return best;
}
