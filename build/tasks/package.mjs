// `npm run package [-- OPTIONS]`: the installers for this system, into dist/. Options are electron-builder's.
import { build, tool } from './support.mjs';

const status = build();
const options = ['--config', 'build/electron-builder.yml', '--publish', 'never', ...process.argv.slice(2)];
process.exit(status === 0 ? tool('electron-builder/out/cli/cli.js', options) : status);
