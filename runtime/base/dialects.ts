// The words of other Barks for what is said here otherwise or is not here: transformers (Python),
// transformers.js, suno's bark, bark.cpp. Words and sentences alone: nothing here runs a model.

/** What is here called `name`, or what is not here at all. */
interface Word {
  /** The option's name here; 'semantic.temperature' is one of a stage. */
  readonly name?: string;
  /** What to do at a door that has no such option. */
  readonly advice: string;
}

const NOT_BUILT = 'It is not built: leave it out.';
const FIXED = 'Leave it out: there is nothing to choose here.';
const GENERATE = 'It goes to model.generate(inputs, options).';
const LOAD = 'It goes to fromPretrained.';

// Each row: words in snake_case, which stand for camelCase, too; the option's name here; advice.
const ROWS: readonly (readonly [words: string, name: string, advice: string])[] = [
  // text and voice
  [
    'voice voice_preset voice_name speaker speaker_id speaker_embedding speaker_embeddings history_prompt semantic_prompt coarse_prompt fine_prompt',
    'voicePreset',
    'A voice goes to processor.encode(text, { voicePreset: … }).',
  ],
  [
    'max_length',
    'maxLength',
    'Tokens of text: processor.encode(text, { maxLength: … }). Of speech: model.generate(inputs, { semantic: { maxNewTokens: … } }).',
  ],
  ['normalize normalize_text', 'normalizeText', 'It goes to processor.encode(text, options).'],
  ['text prompt', '', 'The text goes first: processor.encode(text, options).'],
  [
    'return_tensors padding truncation add_special_tokens return_attention_mask return_token_type_ids',
    '',
    'Leave it out: encode always gives padded arrays and their mask.',
  ],
  ['language lang', '', 'Leave it out: Bark hears the language in the text, and a voice brings its own.'],
  ['speed rate pitch volume', '', 'Leave it out: Bark has no such setting.'],
  // drawing
  ['seed manual_seed random_seed random_state', 'seed', 'It goes to model.generate(inputs, { seed: … }).'],
  ['temp temperature', 'temperature', GENERATE],
  ['text_temp semantic_temp', 'semantic.temperature', GENERATE],
  ['waveform_temp coarse_temp', 'coarse.temperature', GENERATE],
  ['fine_temp', 'fine.temperature', GENERATE],
  ['do_sample top_k top_p min_eos_p min_eos_p_raw strict_mask semantic coarse fine', '', GENERATE],
  [
    'max_new_tokens max_tokens',
    'semantic.maxNewTokens',
    'It goes to model.generate(inputs, { semantic: { maxNewTokens: … } }).',
  ],
  ['greedy', '', 'Greedy is { doSample: false, minEosP: null, fine: { temperature: null } }.'],
  [
    'num_beams num_return_sequences repetition_penalty length_penalty no_repeat_ngram_size bad_words_ids suppress_tokens logits_processor stopping_criteria streamer max_gen_duration_s max_time position_ids head_mask labels output_scores output_attentions output_hidden_states',
    '',
    NOT_BUILT,
  ],
  [
    'generation_config semantic_generation_config coarse_generation_config fine_generation_config',
    '',
    "Its values are options of their own here, and its defaults come from the model's file.",
  ],
  ['sample_rate sampling_rate', '', 'The model has one sampling rate: audio.sampling_rate.'],
  ['output_full return_dict_in_generate return_output_lengths', '', 'Leave it out: output.tokens has the tokens.'],
  // what the model reads
  [
    'input_ids attention_mask',
    '',
    'Token ids and their mask come from processor.encode: model.generate(await processor.encode(text), options).',
  ],
  ['inputs_embeds past_key_values', '', 'It goes to model.semantic.forward(inputs).'],
  // loading
  [
    'dtype torch_dtype precision half fp16 quantized quantize load_in_8bit load_in_4bit',
    'dtype',
    "It goes to BarkModel.fromPretrained(source, { dtype: 'float16' or 'float32' }).",
  ],
  [
    'device device_map gpu use_gpu text_use_gpu coarse_use_gpu fine_use_gpu codec_use_gpu',
    'device',
    'The GPU is chosen when the model is loaded: BarkModel.fromPretrained(source, { device: await Device.request() }).',
  ],
  ['backend threads n_threads num_threads', '', 'Leave it out: the GPU computes, through WebGPU.'],
  ['adapter power_preference portable tuning trace', '', 'It goes to Device.request(options).'],
  ['offload offload_cpu cpu_offload', 'offload', 'It goes to BarkModel.fromPretrained(source, { offload: true }).'],
  ['cache_dir cache_folder', 'cacheDir', LOAD],
  ['local_files_only offline', 'localFilesOnly', LOAD],
  ['token use_auth_token auth_token hf_token', 'token', LOAD],
  ['revision codec tokenizer', '', LOAD],
  ['on_warning', '', 'It goes to BarkProcessor.fromPretrained(source, options).'],
  [
    'on_progress progress_callback progress callback',
    'onProgress',
    'fromPretrained and generate tell of their progress: { onProgress }.',
  ],
  ['abort_signal', 'signal', FIXED],
  ['subfolder', '', 'Name the folder itself as the source.'],
  ['use_small text_use_small coarse_use_small fine_use_small', '', "Name the small model: 'suno/bark-small'."],
  [
    'low_cpu_mem_usage use_safetensors trust_remote_code attn_implementation force_download force_reload use_cache use_kv_caching silent verbose return_dict config',
    '',
    FIXED,
  ],
];

const WORDS: ReadonlyMap<string, Word> = new Map(
  ROWS.flatMap(([words, name, advice]) => words.split(' ').map((word) => [word, name ? { name, advice } : { advice }])),
);

/** What is known of a word from elsewhere, however it is spelt. */
export function knownWord(word: string): Word | undefined {
  const snake = word.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`).replace(/[-\s]+/g, '_');
  const ofStage = /^(semantic|coarse|fine)_(temperature|do_sample|top_k|top_p|max_new_tokens|min_eos_p)$/.exec(snake);
  if (!ofStage) return WORDS.get(snake);
  return { name: `${ofStage[1]}.${camelCase(ofStage[2]!)}`, advice: WORDS.get('temp')!.advice };
}

/** 'top_k' and 'top-k' as 'topK'. */
export const camelCase = (word: string): string =>
  word.replace(/[-_]([a-z])/g, (_, letter: string) => letter.toUpperCase());
