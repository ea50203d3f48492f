// Lists the crates whose types are part of the public API:
// `node public_face.mjs DESCRIPTION ALLOWED...`.
//
// DESCRIPTION is rustdoc's JSON output for a crate. Fails if the API names a crate that is
// neither ALLOWED nor part of Rust: another version of that crate would then be a breaking change
// of this one.

import fs from "node:fs";

const [file, ...allowed] = process.argv.slice(2);
const { index, paths, external_crates, format_version } = JSON.parse(fs.readFileSync(file, "utf8"));
const OF_RUST = ["std", "core", "alloc"];

// Leaves out auto traits and blanket impls, which every type has. rustdoc has left out private
// items already. The items of a trait or an impl, and variants, are as public as what they are part
// of.
const isPublic = ({ crate_id, visibility, inner }) =>
    crate_id === 0 && ["public", "default"].includes(visibility) &&
    !(inner.impl?.is_synthetic || inner.impl?.blanket_impl);

// Yields each name in a signature: a type or a trait by its `path`, the target of a `pub use` by
// its `source`.
function* named(node) {
    if (node === null || typeof node !== "object") return;
    const text = node.path ?? node.source;
    if (typeof text === "string" && "id" in node) yield { id: node.id, text };
    for (const part of Object.values(node)) yield* named(part);
}

// True for the private items of pin-project-lite's macro: users of a type cannot name them.
const isOfPinProject = ({ id, text }) =>
    text === "__Origin" || paths[id]?.path.slice(0, 2).join("::") === "pin_project_lite::__private";

// Returns the crate of a name, or null for this crate itself.
function crateOf({ id, text }) {
    if (id in paths) return paths[id].crate_id === 0 ? null : external_crates[paths[id].crate_id].name;
    if (index[id]?.crate_id === 0) return null;
    return text.split("::")[0];
}

function place({ name, inner, span }) {
    const { trait, for: type } = inner.impl ?? {};
    const whose = type?.resolved_path?.path ?? type?.generic ?? "another type";
    const what = name ?? inner.use?.name ?? (trait ? `impl ${trait.path} for ${whose}` : `impl ${whose}`);
    return span ? `${what} (${span.filename}:${span.begin[0]})` : what;
}

// Crate -> place -> the name that is used there.
const found = new Map();
for (const item of Object.values(index).filter(isPublic))
    for (const name of named(item.inner)) {
        const crate = isOfPinProject(name) ? null : crateOf(name);
        if (crate === null) continue;
        if (!found.has(crate)) found.set(crate, new Map());
        const full = paths[name.id]?.path.join("::") ?? name.text;
        found.get(crate).set(place(item), full);
    }

let wrong = 0;
for (const [crate, places] of [...found].sort(([a], [b]) => a.localeCompare(b))) {
    if (OF_RUST.includes(crate)) continue;
    const fine = allowed.includes(crate);
    if (!fine) wrong++;
    // One place is enough as an example of an allowed crate; of others, every place is listed.
    for (const [where, full] of fine ? [...places].slice(0, 1) : places)
        console.log(`${fine ? "allowed    " : "NOT ALLOWED"} ${crate}: ${full} in ${where}, ${places.size} in all`);
}
const foreign = [...found.keys()].filter((crate) => !OF_RUST.includes(crate)).length;
console.log(`${foreign} foreign crates, ${wrong} of them not allowed`);

// The form of the description is not stable. Unless it names both `core` and `http`, this script
// has not understood it.
const understood = found.has("core") && found.has("http");
if (!understood) console.log(`rustdoc's format ${format_version} was not understood`);
process.exit(wrong > 0 || !understood ? 1 : 0);
