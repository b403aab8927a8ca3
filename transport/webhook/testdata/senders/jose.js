// Signs and verifies with jose and the senders' own libraries, for the tests of package jwt. It
// reads an object with the operation from stdin and prints the result: node jose.js < task
import { createHash, createSecretKey } from "node:crypto";
import { readFileSync } from "node:fs";

const task = JSON.parse(readFileSync(0, "utf8"));

const operations = {
  // A token for each algorithm, with the set of the public keys.
  async sign({ algorithms, claims, secret }) {
    const { SignJWT, exportJWK, generateKeyPair } = await import("jose");
    const keys = [];
    const tokens = {};
    for (const alg of algorithms) {
      let key;
      if (alg.startsWith("HS")) {
        key = new TextEncoder().encode(secret);
      } else {
        const pair = await generateKeyPair(alg, { extractable: true });
        key = pair.privateKey;
        keys.push({ ...(await exportJWK(pair.publicKey)), kid: alg, alg, use: "sig" });
      }
      tokens[alg] = await new SignJWT(claims).setProtectedHeader({ alg, kid: alg, typ: "JWT" }).sign(key);
    }
    return { keys, tokens };
  },
  async messagebird({ url, body, token, secret }) {
    const { default: lib } = await import("messagebird/lib/webhook-signature-jwt.js");
    await lib.verify(url, Buffer.from(body), token, createSecretKey(Buffer.from(secret)));
    return {};
  },
  async livekitSign({ key, secret, body }) {
    const { AccessToken } = await import("livekit-server-sdk");
    const token = new AccessToken(key, secret, { ttl: "5m" });
    token.sha256 = createHash("sha256").update(body).digest("base64");
    return { token: await token.toJwt() };
  },
  async livekitVerify({ key, secret, body, token }) {
    const { WebhookReceiver } = await import("livekit-server-sdk");
    await new WebhookReceiver(key, secret).receive(body, token);
    return {};
  },
  // Whether Apple's library accepts each notification.
  async apple({ root, notifications }) {
    const { Environment, SignedDataVerifier } = await import("@apple/app-store-server-library");
    const verifier = new SignedDataVerifier([Buffer.from(root, "base64")], false, Environment.PRODUCTION, "com.example", 1234);
    const accepted = {};
    for (const [name, jws] of Object.entries(notifications)) {
      try {
        await verifier.verifyAndDecodeNotification(jws);
        accepted[name] = true;
      } catch {
        accepted[name] = false;
      }
    }
    return { accepted };
  },
};

try {
  console.log(JSON.stringify(await operations[task.operation](task)));
} catch (error) {
  console.log(JSON.stringify({ error: String(error.message) }));
}
