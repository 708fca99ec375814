// Imports name their files, so that node runs what is generated as it is.
export default {
  input: process.env.DOCUMENT,
  output: { path: "generated", module: { extension: ".ts" } },
  plugins: ["@hey-api/typescript", "@hey-api/sdk", "@hey-api/client-fetch"],
};
