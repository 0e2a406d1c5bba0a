'use strict';
// requests.js BEFORE AFTER: two texts of stats.json; prints OPCODE=COUNT for what came in between.
const [before, after] = process.argv.slice(2, 4).map((text) => JSON.parse(text).requests);
for (const opcode of Object.keys(after)) {
	const count = after[opcode] - (before[opcode] || 0);
	if (count > 0) console.log(`${opcode}=${count}`);
}
