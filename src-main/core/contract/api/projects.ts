import { z } from 'zod';
import { commandsSchema } from '../../edit/commands.ts';
import { projectChangeSchema } from '../../edit/diff.ts';
import type { EventSpec, MethodSpec } from '../channel/contract.ts';
import { idSchema, projectSchema } from '../project.ts';
import { projectSummarySchema, searchHitSchema, searchQuerySchema } from '../records.ts';
import { idsSchema, nothing, pageInput, pageOf, pathSchema, taskSchema, writtenSchema } from './common.ts';

const { name, width, height, fps } = projectSchema.shape;
const projectId = idSchema;
/** What a step to undo is called. */
const label = z.string().min(1).max(200);

/** Names of the steps that the studio makes itself; a window says them in its own language. */
export const studioSteps = {
  promote: 'Put a take on the timeline',
  extend: 'Extend a take',
  recreate: 'Recreate a take’s settings',
  deleteTake: 'Delete a take',
  deleteTakes: 'Delete takes',
} as const;

/** What can be undone and redone, by name; null where nothing can. */
const stepsSchema = z.strictObject({ undo: label.nullable(), redo: label.nullable() });

/** A project as a window needs it. `revision` counts its changes, to notice one that was missed. */
const projectStateSchema = z.strictObject({
  project: projectSchema,
  revision: z.int().min(0),
  steps: stepsSchema,
  trashedAt: projectSummarySchema.shape.trashedAt,
  /** The `.pusa` file it was opened from or last saved to. */
  pusaPath: pathSchema.nullable(),
});
export type ProjectState = z.infer<typeof projectStateSchema>;

/** What an edit, an undo or a redo did. `changeProject` (core/edit) makes the new project of the old one. */
export const editedSchema = z.strictObject({
  projectId,
  revision: z.int().min(0),
  change: projectChangeSchema,
  steps: stepsSchema,
});
export type Edited = z.infer<typeof editedSchema>;

/** Values of the largest project (see `validateProject`). */
export const projectValues = 8_000_000;

/** What goes into a `.pusa` file beside the project. */
const contents = { media: z.boolean(), takes: z.enum(['none', 'promoted', 'all']) };

/** Projects, and the `.pusa` files they come from and go to. */
export const projectMethods = {
  'projects.list': {
    input: z.strictObject({
      ...pageInput,
      trashed: z.boolean(),
      sort: z.enum(['modified', 'created', 'name']),
    }),
    output: pageOf(projectSummarySchema),
    writes: false,
  },
  /** Over projects, prompts, assets and takes; best first. */
  'projects.search': {
    input: searchQuerySchema,
    output: z.strictObject({ hits: z.array(searchHitSchema).max(200) }),
    writes: false,
  },
  /** What is left out is the default model's. */
  'projects.create': {
    input: z.strictObject({
      name,
      width: width.optional(),
      height: height.optional(),
      fps: fps.optional(),
    }),
    output: projectStateSchema,
    writes: true,
  },
  'projects.open': {
    input: z.strictObject({ projectId }),
    output: projectStateSchema,
    writes: false,
    maxOutputValues: projectValues,
  },
  /** All commands or none; one step to undo. Saved when it is answered. */
  'projects.edit': {
    input: z.strictObject({
      projectId,
      label,
      commands: commandsSchema,
      /** Edits of one gesture (a drag, typing): joined to the step before it that has the same. */
      gesture: idSchema.optional(),
    }),
    output: editedSchema,
    writes: true,
    maxOutputValues: projectValues,
  },
  'projects.undo': {
    input: z.strictObject({ projectId }),
    output: editedSchema,
    writes: true,
    maxOutputValues: projectValues,
  },
  'projects.redo': {
    input: z.strictObject({ projectId }),
    output: editedSchema,
    writes: true,
    maxOutputValues: projectValues,
  },
  'projects.duplicate': {
    input: z.strictObject({ projectId, name }),
    output: z.strictObject({ projectId }),
    writes: true,
  },
  'projects.trash': { input: z.strictObject({ projectIds: idsSchema }), output: nothing, writes: true },
  'projects.restore': { input: z.strictObject({ projectIds: idsSchema }), output: nothing, writes: true },
  /** For good, with their jobs and takes; only what is in the trash. Media stay until they are collected. */
  'projects.remove': { input: z.strictObject({ projectIds: idsSchema }), output: nothing, writes: true },

  /** Imports a `.pusa` file; Save writes it back there. */
  'files.open': {
    input: z.strictObject({ path: pathSchema, task: taskSchema }),
    output: projectStateSchema,
    writes: true,
    namesPath: true,
    maxOutputValues: projectValues,
  },
  'files.upload': {
    input: z.strictObject({ task: taskSchema }),
    output: projectStateSchema,
    writes: true,
    upload: true,
    maxOutputValues: projectValues,
  },
  /** To the file it came from, or was last saved to. */
  'files.save': {
    input: z.strictObject({ projectId, ...contents, task: taskSchema }),
    output: writtenSchema,
    writes: true,
  },
  'files.saveAs': {
    input: z.strictObject({ projectId, path: pathSchema, ...contents, task: taskSchema }),
    output: writtenSchema,
    writes: true,
    namesPath: true,
  },
  'files.download': {
    input: z.strictObject({ projectId, ...contents, task: taskSchema }),
    output: z.strictObject({ bytes: z.int().min(0) }),
    writes: false,
    download: true,
  },
} as const satisfies Record<string, MethodSpec>;

export const projectEvents = {
  /** A project changed, by whomever. */
  'projects.edited': { payload: editedSchema, lossy: false },
} as const satisfies Record<string, EventSpec>;
