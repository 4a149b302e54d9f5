/**
 * The channel between a window (or a script) and the studio: calls, events and binary streams over any transport, all
 * of them checked against a contract at both ends.
 */
export {
  createClient,
  type ApiOf,
  type Caller,
  type CallOptions,
  type ChannelClient,
  type ClientOptions,
  type UploadOptions,
} from './channel/client.ts';
export type {
  Bytes,
  Contract,
  Download,
  EventOf,
  EventSpec,
  InputOf,
  MethodOf,
  MethodSpec,
  OutputOf,
  PayloadOf,
  ResultOf,
} from './channel/contract.ts';
export { fromErrorRecord, toErrorRecord } from './channel/errors.ts';
export { decodeFrame, encodeFrame } from './channel/frames.ts';
export { clientLimits, messageBytes, serverLimits, streams, type ChannelLimits } from './channel/limits.ts';
export {
  createServer,
  type CallContext,
  type ChannelServer,
  type Handlers,
  type ServerOptions,
} from './channel/server.ts';
export {
  portTransport,
  socketTransport,
  type ByteSocket,
  type MessageBytes,
  type PortLike,
  type Transport,
  type TransportListener,
} from './channel/transport.ts';
