// The client that @hey-api/openapi-ts makes. Usage: URL PKI-FOLDER
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { Agent, setGlobalDispatcher } from "undici";
import { createClient } from "./generated/client/index.ts";
import { issue, shred, unwrap } from "./generated/sdk.gen.ts";
import type { Unwrap } from "./generated/types.gen.ts";

const [url, pki] = process.argv.slice(2);
assert(url && pki);
const read = (name: string) => readFileSync(`${pki}/${name}`);
const connect = { ca: read("ca.crt"), cert: read("message-server.crt"), key: read("message-server.key") };
setGlobalDispatcher(new Agent({ connect }));
const client = createClient({ baseUrl: url });
const path = { keyspace: "chat" };

const issued = (await issue({ client, path, body: { conversation: "typescript 1" }, throwOnError: true })).data;
assert("wrapped_key" in issued);
const request: Unwrap = { conversation: "typescript 1", wrapped_key: issued.wrapped_key };
const opened = (await unwrap({ client, path, body: request, throwOnError: true })).data;
assert("data_key" in opened);
assert.equal(opened.data_key, issued.data_key);

const items = [request, { ...request, conversation: "typescript 2" }];
const several = (await unwrap({ client, path, body: { items }, throwOnError: true })).data;
assert("items" in several);
const [first, second] = several.items;
assert(first && "data_key" in first);
assert(second && "error" in second);
assert.equal(second.error.code, "invalid_wrapped_key");

const body = { conversation: "typescript 1", id: randomUUID() };
const gone = (await shred({ client, path, body, throwOnError: true })).data;
assert("state" in gone && gone.state === "destroyed");
assert(gone.receipt?.item.kind === "shred");
assert.equal(gone.receipt.item.id, body.id);
assert.equal(gone.opening?.conversation, "typescript 1");

const refused = await unwrap({ client, path, body: request });
assert.equal(refused.response?.status, 410);
assert.equal(refused.error?.code, "shredded");
