import { mount } from 'svelte';
import './app.css';
import App from './App.svelte';
import { keepLook } from '$lib/look.ts';

keepLook();
mount(App, { target: document.getElementById('app')! });
