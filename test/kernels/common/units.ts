// Devices that announce subgroup matrices which this machine does not have.

import type { SubgroupMatrixConfig } from '../../../runtime/compute/capabilities.ts';

export const config = (
  M: number,
  N: number,
  K: number,
  componentType = 'f16',
  resultComponentType = 'f32',
): SubgroupMatrixConfig => ({ componentType, resultComponentType, M, N, K });
