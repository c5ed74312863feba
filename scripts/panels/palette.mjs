// Makes a picture of Chromium's a third of its size: 256 colours instead of all, which drawings do with.
import {readFileSync, writeFileSync} from 'node:fs';
import {crc32, deflateSync, inflateSync} from 'node:zlib';

const SIGNATURE = 8, COLOURS = 256;

// Bytes of a pixel and its rows, unfiltered. Eight bits a channel, not interlaced: what Chromium writes.
function decoded(png) {
  let at = SIGNATURE, head, data = [];
  while (at < png.length) {
    const length = png.readUInt32BE(at), type = png.toString('latin1', at + 4, at + 8);
    const body = png.subarray(at + 8, at + 8 + length);
    if (type === 'IHDR') head = body;
    if (type === 'IDAT') data.push(body);
    at += length + 12;
  }
  const [width, height] = [head.readUInt32BE(0), head.readUInt32BE(4)];
  const bytes = {2: 3, 6: 4}[head[9]];
  if (head[8] !== 8 || !bytes || head[12]) throw new Error('not a picture of Chromium');
  const raw = inflateSync(Buffer.concat(data)), row = width * bytes;
  const out = Buffer.alloc(row * height);
  for (let y = 0; y < height; y += 1) {
    const filter = raw[y * (row + 1)];
    for (let x = 0; x < row; x += 1) {
      const left = x >= bytes ? out[y * row + x - bytes] : 0;
      const up = y ? out[(y - 1) * row + x] : 0;
      const corner = y && x >= bytes ? out[(y - 1) * row + x - bytes] : 0;
      const [p, q, r] = [Math.abs(up - corner), Math.abs(left - corner), Math.abs(left + up - 2 * corner)];
      const paeth = p <= q && p <= r ? left : q <= r ? up : corner;
      out[y * row + x] = raw[y * (row + 1) + 1 + x] + [0, left, up, (left + up) >> 1, paeth][filter];
    }
  }
  return {width, height, bytes, out};
}

function chunk(type, body) {
  const part = Buffer.concat([Buffer.from(type, 'latin1'), body]), size = Buffer.alloc(4), sum = Buffer.alloc(4);
  size.writeUInt32BE(body.length);
  sum.writeUInt32BE(crc32(part));
  return Buffer.concat([size, part, sum]);
}

export function reduce(file) {
  const png = readFileSync(file), {width, height, bytes, out} = decoded(png);
  const count = new Map();
  const colour = (i) => (out[i] << 16) | (out[i + 1] << 8) | out[i + 2];
  for (let i = 0; i < out.length; i += bytes) count.set(colour(i), (count.get(colour(i)) ?? 0) + 1);
  const palette = [...count].sort((a, b) => b[1] - a[1]).slice(0, COLOURS).map(([c]) => c);
  const near = new Map(palette.map((c, i) => [c, i]));
  const nearest = (c) => {
    if (!near.has(c)) {
      const away = (d) => ((c >> 16) - (d >> 16)) ** 2 + (((c >> 8) & 255) - ((d >> 8) & 255)) ** 2 + ((c & 255) - (d & 255)) ** 2;
      let best = 0;
      palette.forEach((d, i) => { if (away(d) < away(palette[best])) best = i; });
      near.set(c, best);
    }
    return near.get(c);
  };
  const rows = Buffer.alloc((width + 1) * height);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) rows[y * (width + 1) + 1 + x] = nearest(colour((y * width + x) * bytes));
  }
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([8, 3, 0, 0, 0], 8);
  const table = Buffer.from(palette.flatMap((c) => [c >> 16, (c >> 8) & 255, c & 255]));
  writeFileSync(file, Buffer.concat([
    png.subarray(0, SIGNATURE), chunk('IHDR', head), chunk('PLTE', table),
    chunk('IDAT', deflateSync(rows, {level: 9})), chunk('IEND', Buffer.alloc(0)),
  ]));
}
