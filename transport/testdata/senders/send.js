// Sends one delivery that the sender's own library has signed, and prints what the
// receiver answered: node send.js SENDER URL SECRET ID < body
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { Webhooks } from "@octokit/webhooks";
import Stripe from "stripe";
import { Webhook } from "svix";

const [sender, url, secret, id] = process.argv.slice(2);
const body = readFileSync(0, "utf8");

const senders = {
  async github() {
    return {
      "x-github-event": "push",
      "x-github-delivery": id || randomUUID(),
      "x-hub-signature-256": await new Webhooks({ secret }).sign(body),
    };
  },
  async stripe() {
    return { "stripe-signature": Stripe.webhooks.generateTestHeaderString({ payload: body, secret }) };
  },
  async svix() {
    const now = new Date();
    return {
      "svix-id": id,
      "svix-timestamp": String(Math.floor(now / 1000)),
      "svix-signature": new Webhook(secret).sign(id, now, body),
    };
  },
};

const headers = { "content-type": "application/json", ...(await senders[sender]()) };
const answer = await fetch(url, { method: "POST", headers, body });
await answer.arrayBuffer();
console.log(JSON.stringify({ status: answer.status, retryAfter: answer.headers.get("retry-after") }));
