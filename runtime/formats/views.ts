// Checkpoints seen otherwise: under other names, or several as one. A view copies nothing and reads
// nothing; each tensor stays where it lies, and errors name the file it lies in. Which names a
// model has is not known here.

import type { Checkpoint, TensorInfo } from './checkpoint.ts';
import { missingTensor } from '../base/messages.ts';

/**
 * A checkpoint under other names: `name` gives the new name of each tensor, or undefined for one
 * that is left out. Of two tensors that would get one name, the first in the file's order has it.
 */
export function renamed(checkpoint: Checkpoint, name: (old: string) => string | undefined): Checkpoint {
  const olds = new Map<string, string>();
  for (const old of checkpoint.names()) {
    const given = name(old);
    if (given !== undefined && !olds.has(given)) olds.set(given, old);
  }
  const labelOf = (wanted: string) => fileOf(checkpoint, olds.get(wanted) ?? wanted);
  const find = (wanted: string) => {
    const old = olds.get(wanted);
    if (old === undefined) throw missingTensor(labelOf(wanted), [wanted], [...olds.keys()]);
    return old;
  };
  return {
    label: checkpoint.label,
    labelOf,
    names: () => [...olds.keys()],
    has: (wanted) => olds.has(wanted),
    info: (wanted) => ({ ...checkpoint.info(find(wanted)), name: wanted }),
    read: async (wanted, start, end, into) => checkpoint.read(find(wanted), start, end, into),
    close: () => checkpoint.close(),
  };
}

// What PyTorch's DataParallel and torch.compile put before the names of the model that they wrap.
const WRAPPERS: ReadonlySet<string> = new Set(['module', '_orig_mod']);

/** A checkpoint without the parts of its names that come from wrapping a model, or a part of it. */
export function unwrapped(checkpoint: Checkpoint): Checkpoint {
  const bare = (name: string) =>
    name
      .split('.')
      .filter((part) => !WRAPPERS.has(part))
      .join('.');
  return checkpoint.names().some((name) => bare(name) !== name) ? renamed(checkpoint, bare) : checkpoint;
}

/** A checkpoint whose every name begins with `prefix`, such as 'semantic.'. */
export function prefixed(checkpoint: Checkpoint, prefix: string): Checkpoint {
  return renamed(checkpoint, (old) => prefix + old);
}

/**
 * Several checkpoints as one, each with the names that begin with its key, such as 'semantic.'; its
 * other names are not seen.
 * Without a tensor, the error names the part that its name belongs to. `close` closes all.
 */
export function joined(label: string, parts: ReadonlyMap<string, Checkpoint>): Checkpoint {
  const home = new Map<string, { part: Checkpoint; index: number }>();
  [...parts].forEach(([prefix, part], index) => {
    for (const name of part.names()) if (name.startsWith(prefix) && !home.has(name)) home.set(name, { part, index });
  });
  const labelOf = (name: string) => {
    const part = home.get(name)?.part ?? [...parts].find(([prefix]) => name.startsWith(prefix))?.[1];
    return part ? fileOf(part, name) : label;
  };
  const find = (name: string) => {
    const found = home.get(name);
    if (!found) throw missingTensor(labelOf(name), [name], [...home.keys()]);
    return found;
  };
  return {
    label,
    labelOf,
    names: () => [...home.keys()],
    has: (name) => home.has(name),
    info: (name) => {
      const { part, index } = find(name);
      const info = part.info(name);
      // Two files count their storages alike; what is one tensor in each is not one in both.
      return info.identity === undefined
        ? info
        : ({ ...info, identity: `${index}:${info.identity}` } satisfies TensorInfo);
    },
    read: async (name, start, end, into) => find(name).part.read(name, start, end, into),
    async close() {
      const closed = await Promise.allSettled([...new Set(parts.values())].map((part) => part.close()));
      for (const result of closed) if (result.status === 'rejected') throw result.reason;
    },
  };
}

/** The file that a tensor of this name lies in, or would lie in. */
function fileOf(checkpoint: Checkpoint, name: string): string {
  return checkpoint.labelOf?.(name) ?? checkpoint.label;
}
