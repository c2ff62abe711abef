"""Speech-native models of the Moshi family (moshiko, moshika, personaplex), batched over calls.

Reading order: ``config`` (shapes), ``checkpoint`` (safe loading), ``kv`` and ``temporal`` and ``depth``
(the transformers), ``lm`` (one step of tokens for all rows), ``mimi`` (the codec), ``prompt`` (how a row starts),
``model`` (all of it behind ``DuplexModel``). Needs the extra ``gpu``; only ``config``, ``layout`` and ``planner``
import no torch.
"""
