import { z } from 'zod';
import { sections } from '../core/article/sections';
import { topicTypes } from '../core/library/topic';

const slug = z.string().regex(/^[a-z0-9]+(-[a-z0-9]+)*$/, 'must be a kebab-case slug');
const url = z.string().regex(/^https?:\/\/\S+$/, 'must be an http(s) address');
const text = z.string().trim().min(1, 'must not be empty');
const language = z.enum(['en', 'zh-cn']);
const localized = z.strictObject({ en: text, 'zh-cn': text });
const symbol = z.string().regex(/^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$/, 'must be a qualified Python name');

/** Lengths that fit a tooltip and a search row. */
const summary = z.strictObject({
  en: text.max(140, 'must be at most 140 characters'),
  'zh-cn': text.max(60, 'must be at most 60 characters'),
});

export const categorySchema = z.strictObject({
  title: localized,
  categories: z.array(slug).min(1).optional(),
  topics: z.array(slug).min(1).optional(),
});

export const topicSchema = z.strictObject({
  id: slug,
  type: z.enum(topicTypes),
  category: slug,
  title: localized,
  summary: summary.optional(),
  aliases: z.array(text),
  symbols: z.array(symbol),
  references: z.array(
    z.strictObject({
      title: text,
      pageTitle: text.optional(),
      alsoTitled: z.array(text).optional(),
      url,
      language,
      remark: text.optional(),
      seeds: z.array(text).optional(),
    }),
  ),
  papers: z
    .array(z.strictObject({ title: text, authors: text, year: z.number().int().min(1600).max(2100), url }))
    .optional(),
  related: z.array(slug),
  prerequisites: z.array(slug),
  answers: z.array(z.strictObject({ seed: text, section: z.enum(sections.map((section) => section.id)) })).optional(),
  figures: z
    .array(
      z.strictObject({
        file: z.string().regex(/^figure-[\w-]+\.svg$/, 'must be named figure-….svg'),
        labels: z.strictObject({ 'zh-cn': z.record(z.string(), z.coerce.string()) }).optional(),
      }),
    )
    .optional(),
});

const maybeLocalized = z.union([text, localized]);

export const cardsSchema = z.array(
  z.strictObject({
    symbols: z.array(symbol).min(1),
    topic: slug.optional(),
    name: localized,
    what: localized,
    deprecated: localized.optional(),
    formula: text.optional(),
    text: text.optional(),
    shapes: z.union([maybeLocalized, z.record(z.string(), maybeLocalized)]).optional(),
    trap: localized.optional(),
    arguments: z.record(z.string(), localized).optional(),
  }),
);

export const argumentsSchema = z.record(z.string(), localized);

export const searchWordsSchema = z.record(slug, z.array(text).min(1));

/** The first name of each list is the term, the others mean the same; an `everyday` one needs no English in brackets. */
export const termsSchema = z.array(
  z.strictObject({
    en: z.array(text).min(1),
    'zh-cn': z.array(text).min(1),
    everyday: z.boolean().optional(),
    never: z.array(text).min(1).optional(),
  }),
);

const parameter = z.strictObject({
  name: text,
  default: z.string().optional(),
  kind: z.enum(['keyword', 'variadic', 'variadic-keyword']).optional(),
});

export const signaturesSchema = z.strictObject({
  library: text,
  version: text,
  symbols: z.record(
    z.string(),
    z.strictObject({
      kind: z.enum(['class', 'function', 'method', 'property', 'value']),
      parameters: z.array(parameter).optional(),
      overloads: z.array(z.array(parameter)).optional(),
      bases: z.array(z.string()).optional(),
      returns: z.string().optional(),
    }),
  ),
  aliases: z.record(z.string(), z.string()),
});

export type CategorySource = z.infer<typeof categorySchema>;
export type TopicSource = z.infer<typeof topicSchema>;
export type Term = z.infer<typeof termsSchema>[number];
export type CardSource = z.infer<typeof cardsSchema>[number];
export type SignatureSource = z.infer<typeof signaturesSchema>;
