// Which crates' types are part of the public face: `node public_face.mjs DESCRIPTION ALLOWED...`.
//
// DESCRIPTION is what rustdoc writes of a crate as JSON. Fails if the face names a crate that is neither ALLOWED nor
// part of Rust: another version of that crate would then be a breaking change of this one.

import fs from "node:fs";

const [file, ...allowed] = process.argv.slice(2);
const { index, paths, external_crates, format_version } = JSON.parse(fs.readFileSync(file, "utf8"));
const OF_RUST = ["std", "core", "alloc"];

// Impls that every type has are nobody's choice. What is private, rustdoc has left out; a trait's items, those of its
// impls and variants are as public as what they are part of.
const isPublic = ({ crate_id, visibility, inner }) =>
    crate_id === 0 && ["public", "default"].includes(visibility) &&
    !(inner.impl?.is_synthetic || inner.impl?.blanket_impl);

// What is named anywhere in a signature: a type or a trait by its `path`, the target of a `pub use` by its `source`.
function* named(node) {
    if (node === null || typeof node !== "object") return;
    const text = node.path ?? node.source;
    if (typeof text === "string" && "id" in node) yield { id: node.id, text };
    for (const part of Object.values(node)) yield* named(part);
}

// What pin-project-lite's macro keeps to itself: users of a type cannot name it.
const isOfPinProject = ({ id, text }) =>
    text === "__Origin" || paths[id]?.path.slice(0, 2).join("::") === "pin_project_lite::__private";

// Null for this crate itself.
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

// Crate -> place -> what is named there.
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
    // An example will do of what may be there; of what may not, every place.
    for (const [where, full] of fine ? [...places].slice(0, 1) : places)
        console.log(`${fine ? "allowed    " : "NOT ALLOWED"} ${crate}: ${full} in ${where}, ${places.size} in all`);
}
const foreign = [...found.keys()].filter((crate) => !OF_RUST.includes(crate)).length;
console.log(`${foreign} foreign crates, ${wrong} of them not allowed`);

// The form of the description is not stable: one in which nothing is found is one that was not understood.
const understood = found.has("core") && found.has("http");
if (!understood) console.log(`rustdoc's format ${format_version} was not understood`);
process.exit(wrong > 0 || !understood ? 1 : 0);
