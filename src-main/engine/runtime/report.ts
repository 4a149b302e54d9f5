/** What the engine finds out about a machine is part of the contract with the window. */
export {
  deviceReportSchema,
  measurementSchema,
  type DeviceReport,
  type Measurement,
} from '../../core/contract/device.ts';
