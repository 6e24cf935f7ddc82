// Pickles that call what could run code, in every way that a pickle can.

import {
  bytesOf,
  dict,
  global,
  int,
  little,
  ordered,
  orderedDict,
  pickle,
  reduce,
  stackGlobal,
  tuple,
  unicode,
} from './pickle_code.ts';
import type { File } from './attack_files.ts';

export const named = (name: string) => new RegExp(`WeightsError: .*${name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}`);

/** A call of each name, in each way that a protocol has. */
const CALLED = [
  'os.system',
  'posix.system',
  'nt.system',
  'os.popen',
  'os.execv',
  'subprocess.Popen',
  'subprocess.check_output',
  'builtins.eval',
  'builtins.exec',
  'builtins.getattr',
  'builtins.__import__',
  'builtins.open',
  'builtins.compile',
  '__builtin__.eval',
  '__builtin__.apply',
  'importlib.import_module',
  'pty.spawn',
  'socket.create_connection',
  'shutil.rmtree',
  'runpy._run_code',
  'pickle.loads',
  '_pickle.loads',
  'marshal.loads',
  'types.FunctionType',
  'types.CodeType',
  'operator.attrgetter',
  'operator.methodcaller',
  'functools.partial',
  'functools.reduce',
  'torch.load',
  'torch.hub.load',
  'torch.jit.load',
  'torch._utils._rebuild_device_tensor_from_numpy',
  'torch.utils._config_module.exec',
  'numpy.load',
  'numpy.testing._private.utils.runstring',
  'webbrowser.open',
  'sys.exit',
  'collections.OrderedDict.__init__',
  'toString.constructor',
  '__proto__.constructor',
  'constructor.constructor',
];

// prettier-ignore

export function calls(): File[] {
  return CALLED.flatMap((full): File[] => {
    const [module, name] = [full.slice(0, full.lastIndexOf('.')), full.slice(full.lastIndexOf('.') + 1)];
    const expected = named(full);
    const command = unicode('touch /tmp/owned');
    return [
      [`${full}, protocol 0`, bytesOf(`c${module}\n${name}\n(S'touch /tmp/owned'\ntR.`), expected],
      [`${full}, protocol 2`, pickle(reduce(global(module, name), command)), expected],
      [
        `${full}, protocol 4`,
        pickle(bytesOf([0x95], little(40, 8), stackGlobal(module, name), [0x94], command, [0x85], 'R'), 4),
        expected,
      ],
      [`${full}, INST`, bytesOf(`(S'touch /tmp/owned'\ni${module}\n${name}\n.`), expected],
      [`${full}, OBJ`, bytesOf('(', global(module, name), command, 'o.'), expected],
      [`${full}, NEWOBJ`, pickle(bytesOf(global(module, name), command, [0x85, 0x81])), expected],
      [`${full}, NEWOBJ_EX`, pickle(bytesOf(global(module, name), command, [0x85], '}', [0x92]), 4), expected],
      [`${full}, only named`, pickle(dict({ a: global(module, name) })), expected],
      [
        `${full}, within a tensor`,
        pickle(
          ordered({
            weight: reduce(global('torch._utils', '_rebuild_tensor_v2'), reduce(global(module, name), command)),
          }),
        ),
        expected,
      ],
      [
        `${full}, as the arguments of an allowed one`,
        pickle(bytesOf(global('collections', 'OrderedDict'), reduce(global(module, name), command), 'R')),
        expected,
      ],
      [`${full}, as state`, pickle(bytesOf(orderedDict, reduce(global(module, name), command), 'b')), expected],
      [
        `${full}, in a persistent id`,
        pickle(
          bytesOf(
            tuple(unicode('storage'), reduce(global(module, name), command), unicode('0'), unicode('cpu'), int(1)),
            'Q',
          ),
        ),
        expected,
      ],
    ];
  });
}
