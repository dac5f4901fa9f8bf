// Lets Node read TypeScript, whatever its version.
import { register } from 'node:module';

register('./load.js', import.meta.url);
