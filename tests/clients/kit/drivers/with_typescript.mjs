// The TypeScript SDK: it checks results against their schemas. It lies in the working directory, not beside this file.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(`${process.cwd()}/`);
const { Client } = require("@modelcontextprotocol/sdk/client/index.js");
const { StdioClientTransport } = require("@modelcontextprotocol/sdk/client/stdio.js");

const task = JSON.parse(readFileSync(0, "utf8"));
const { version } = JSON.parse(readFileSync("node_modules/@modelcontextprotocol/sdk/package.json", "utf8"));
const client = new Client({ name: "tests", version: "1" });
await client.connect(new StdioClientTransport({ command: task.command, args: task.args, env: task.env }));

const { tools } = await client.listTools();
const answers = {};
const failed = {};
for (const [name, args] of task.calls) {
  try {
    const result = await client.callTool({ name, arguments: args });
    if (result.isError || !result.structuredContent) throw new Error(result.content[0].text);
    answers[name] = result.content[0].text;
  } catch (error) {
    failed[name] = String(error).slice(0, 400);
  }
}
await client.close();
const versions = { "@modelcontextprotocol/sdk": version };
const findings = { versions, listed: tools.map((tool) => tool.name), refused: {}, answers, failed };
writeFileSync(process.argv[2], JSON.stringify(findings));
