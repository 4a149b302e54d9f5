import packageJson from '../../package.json' with { type: 'json' };

/** Name and version, written into jobs and exported files. */
export const software = `Pusa Studio ${packageJson.version}`;
