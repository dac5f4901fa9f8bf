// Written by crates/model/tests/vocabulary.rs: one of every event, as it is sent.

import type { Entry } from './api.gen.ts';

export const samples = [
  {"id":"1-1","at":1700000000100,"event":{"type":"accepted","subject":"usr_01j0000000e008000000000001","launcher":{"kind":"user","id":"usr_01j0000000e008000000000001"},"runner":"remit","session":"ses_01j0000000e008000000000004","mounts":[{"workspace":"wsp_01j0000000e008000000000002","name":"home","mode":"rw","base":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","purpose":"what we know"}],"label":{"integrity":["mail"],"secrecy":[]}}},
  {"id":"1-2","at":1700000000200,"event":{"type":"turn_accepted","turn":"t1","number":1,"prompt":"write hi to a.md"}},
  {"id":"1-3","at":1700000000300,"event":{"type":"queued","ahead":2}},
  {"id":"1-4","at":1700000000400,"event":{"type":"sandbox_started","sandbox":"sbx_01j0000000e008000000000003","backend":"native","start_us":8250,"isolates":true}},
  {"id":"1-5","at":1700000000500,"event":{"type":"turn_started","turn":"t1"}},
  {"id":"1-6","at":1700000000600,"event":{"type":"thought","item":"h1","text":"A file is asked for. "}},
  {"id":"1-7","at":1700000000700,"event":{"type":"thought","item":"h1","text":"I write it."}},
  {"id":"1-8","at":1700000000800,"event":{"type":"plan","steps":[{"text":"write a.md","status":"in_progress"}]}},
  {"id":"1-9","at":1700000000900,"event":{"type":"message","item":"m1","text":"I "}},
  {"id":"1-10","at":1700000001000,"event":{"type":"tool_call","call":"c1","tool":"write_file","title":"Write a.md","kind":"edit","arguments":null,"locations":["a.md"]}},
  {"id":"1-11","at":1700000001100,"event":{"type":"permission_asked","ask":"p1","call":"c1","title":"Write a.md","options":[{"option":"yes","name":"Allow","kind":"allow_once"}]}},
  {"id":"1-12","at":1700000001200,"event":{"type":"permission_answered","ask":"p1","option":"yes","by":"policy"}},
  {"id":"1-13","at":1700000001300,"event":{"type":"tool_update","call":"c1","tool":"write_file","status":"in_progress","arguments":{"content":"hi","path":"a.md"}}},
  {"id":"1-14","at":1700000001400,"event":{"type":"tool_update","call":"c1","status":"completed","title":"Wrote a.md","result":"2 bytes","diffs":[{"path":"a.md","new":"hi"}]}},
  {"id":"1-15","at":1700000001500,"event":{"type":"tool_update","call":"nobody"}},
  {"id":"1-16","at":1700000001600,"event":{"type":"usage","model":"remit-demo","input_tokens":900,"output_tokens":40,"elapsed_ms":12}},
  {"id":"1-17","at":1700000001700,"event":{"type":"message","item":"m1","text":"wrote it."}},
  {"id":"2-18","at":1700000001800,"event":{"type":"sandbox_adopted","sandbox":"sbx_01j0000000e008000000000003"}},
  {"id":"2-19","at":1700000001900,"event":{"type":"diagnostic","source":"agent","text":"nothing to warn of"}},
  {"id":"2-20","at":1700000002000,"event":{"type":"commit","workspace":"wsp_01j0000000e008000000000002","commit":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","changed":1,"paths":["a.md"]}},
  {"id":"2-21","at":1700000002100,"event":{"type":"refused","workspace":"wsp_01j0000000e008000000000002","count":1,"refusals":[{"path":".git/hooks","reason":"a name of git's"}]}},
  {"id":"2-22","at":1700000002200,"event":{"type":"held","workspace":"wsp_01j0000000e008000000000002","reference":"refs/remit/held/x","commit":"cccccccccccccccccccccccccccccccccccccccc","reason":"conflict","paths":["b.md"]}},
  {"id":"2-23","at":1700000002300,"event":{"type":"proposed","proposal":"prp_01j0000000e008000000000005","workspace":"wsp_01j0000000e008000000000002","reason":"conflict","paths":["b.md"]}},
  {"id":"2-24","at":1700000002400,"event":{"type":"session_saved","session":"ses_01j0000000e008000000000004","commit":"dddddddddddddddddddddddddddddddddddddddd"}},
  {"id":"2-25","at":1700000002500,"event":{"type":"turn_ended","turn":"t1","outcome":{"kind":"completed"},"reply":"I wrote it."}},
  {"id":"2-26","at":1700000002600,"event":{"type":"turn_accepted","turn":"t2","number":2,"prompt":"go on"}},
  {"id":"2-27","at":1700000002700,"event":{"type":"turn_ended","turn":"t2","outcome":{"kind":"failed","failure":{"code":"agent_died","message":"the agent ended with code 1"}},"reply":""}},
  {"id":"2-28","at":1700000002800,"event":{"type":"ended","end":"failed","failure":{"code":"agent_died","message":"the agent ended with code 1"}}},
] satisfies Entry[];
