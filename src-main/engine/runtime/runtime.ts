import type { Provider } from '../../core/contract/device.ts';
import type { Tensor } from '../networks.ts';

export { providers } from '../../core/contract/device.ts';
export type { Provider };

/** Forms of operators that differ by provider and adapter; the canary picks them (see `canary.ts`). */
export interface OperatorForms {
  /** `fused`: com.microsoft MultiHeadAttention; `primitive`: MatMul, Softmax, MatMul. */
  readonly attention: 'fused' | 'primitive';
  /** At most this many query rows in one attention dispatch; 0 = no limit (CPU). */
  readonly attentionRows: number;
  /**
   * Of three frames: `conv3d`: one 3-D convolution; `taps`: the frames joined by their channels and one 2-D
   * convolution; `planes`: a 2-D convolution of each, added up (the least memory).
   */
  readonly convolution: 'conv3d' | 'taps' | 'planes';
}

/** A serialized ONNX model whose external data lie in files of one folder. */
export interface OnnxModel {
  readonly name: string;
  readonly bytes: Uint8Array;
  /** Folder the external data's relative locations start from; null when everything is inside. */
  readonly weightsFolder: string | null;
  /** int8/int4 kernels need ONNX Runtime's prepacking; plain floats are better mapped without it. */
  readonly quantised: boolean;
  /**
   * Whether the session holds on to the memory it works in between two runs. That saves a transformer block 5 to 10 %
   * of its time; where sizes vary (the autoencoder) it would more than double the memory. Default false.
   */
  readonly arena?: boolean;
}

/** A loaded graph. Only one run at a time in the process (ONNX Runtime blocks its thread). */
export interface Segment {
  /** @param into memory for outputs, by name, each of its output's size and of no input; the rest is allocated */
  run(
    inputs: Readonly<Record<string, Tensor>>,
    into?: Readonly<Record<string, Float32Array>>,
  ): Promise<Record<string, Tensor>>;
  release(): Promise<void>;
}

/** A provider with the settings found necessary for it, able to load graphs. */
export interface Runtime {
  readonly provider: Provider;
  readonly forms: OperatorForms;
  load(model: OnnxModel): Promise<Segment>;
}
