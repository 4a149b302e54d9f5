import { mount } from 'svelte';
import { z } from 'zod';
import App from './App.svelte';
import { Connection, dialStudio } from './state/connection.ts';
import { Session } from './state/session.svelte.ts';
import './state/theme.svelte.ts';
import './theme.css';

// The page may not make code from text (content security policy), so zod must not try.
z.config({ jitless: true });
const target = document.getElementById('app');
if (!target) throw new Error('The page has no #app element.');
const connection = new Connection({ dial: dialStudio });
mount(App, { target, props: { connection, session: new Session(connection) } });
