import { api, type Api } from '../../src-main/core/contract/api.ts';
import { createClient, type ChannelClient } from '../../src-main/core/contract/channel.ts';
import { findPlaces } from '../../src-main/studio/places.ts';
import { openStudio, type Studio, type StudioOptions } from '../../src-main/studio/studio.ts';
import { portLine } from '../core/lines.ts';

/** A studio on a library of its own, with a window's end of the line to it. */
export interface Connected {
  readonly studio: Studio;
  readonly client: ChannelClient<Api>;
  readonly call: ChannelClient<Api>['api'];
  close(): Promise<void>;
}

/** Opens the studio of a data folder, without the sample projects, and a line to it. Needs no test runner. */
export async function connectStudio(
  dataFolder: string,
  options: Pick<StudioOptions, 'fork' | 'onLog' | 'places'> = {},
): Promise<Connected> {
  const studio = await openStudio({ dataFolder, places: findPlaces(), samples: false, ...options });
  const line = await portLine();
  const server = studio.connect(line.server);
  const client = createClient(api, line.client);
  return {
    studio,
    client,
    call: client.api,
    close: async () => {
      client.close();
      await server.closed;
      await studio.close();
    },
  };
}
