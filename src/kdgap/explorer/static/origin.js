"use strict";
// What an import found odd, and where a study comes from.
function findingsPart(analysis) {
  if (!analysis.findings.length) return null;
  const line = (finding) => el("li", {}, `${finding.text}: `, finding.paths.join(", "));
  return disclosure(
    "findings",
    `What the import found odd (${analysis.findings.length})`,
    el("ul", {}, analysis.findings.slice(0, 200).map(line)),
  );
}

/** Where a study comes from: data, code, machines, and the digests of what was declared. */
function originSection(study) {
  const origin = study.analysis.provenance;
  const pairs = (values) =>
    Object.entries(values ?? {})
      .filter(([, value]) => value !== null && typeof value !== "object")
      .map(([key, value]) => `${key} ${value}`)
      .join(", ");
  const digest = (text) => el("code", {}, text);
  return section(
    "Where it comes from",
    facts([
      ["judged by", study.analysis.made_with],
      origin.source ? ["files", [`${origin.source.path}, SHA-256 `, digest(origin.source.sha256)]] : null,
      origin.data ? ["data", pairs(origin.data)] : null,
      origin.data_fingerprint ? ["data fingerprint", digest(origin.data_fingerprint.fingerprint)] : null,
      origin.recipe ? ["recipe", `${pairs(origin.recipe)}, precision ${origin.precision}`] : null,
      origin.code
        ? [
            "trained by",
            [
              `kdgap ${origin.code.kdgap}, revision ${origin.code.revision ?? "unknown"}, source `,
              digest(origin.code.source_sha256 ?? DASH),
            ],
          ]
        : null,
      origin.environments?.length ? ["machines", origin.environments.join("; ")] : null,
      origin.preregistration
        ? [
            "locked before the first test",
            ["claims, seeds and statistics, SHA-256 ", digest(origin.preregistration)],
          ]
        : null,
      origin.claims
        ? ["claims from", [`${origin.claims.name}, SHA-256 `, digest(origin.claims.sha256)]]
        : null,
    ]),
  );
}
