'use strict';
// socket.js PATH: a server that listens on a socket there, and a client that gets its answer.
const fs = require('fs');
const net = require('net');
const { args, assert, fail } = require('./common.js');

const { rest } = args();
const server = net.createServer((connection) => connection.end('answer'));
server.listen(rest[0], () => {
  assert(fs.statSync(rest[0]).isSocket(), 'not a socket');
  let text = '';
  net.connect(rest[0]).on('data', (data) => (text += data)).on('error', (error) => fail(error.message)).on('end', () => {
    assert(text === 'answer', `answer: ${text}`);
    server.close();
  });
});
