import {
  Message,
  NewWebhook,
  NewWebhookMessage,
  Webhook,
  WebhookAddress,
  WebhookPage,
  WebhookParams,
  WebhookPatch,
  WebhookQuery,
  WebhookWithSecret,
} from '@conntext/contracts'
import { type AccessOptions, access, refusals } from '@conntext/http'
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import { type ExecutionDeps, executeWebhook } from './execution.ts'
import {
  createWebhook,
  deleteWebhook,
  getWebhook,
  pageWebhooks,
  rotateSecret,
  updateWebhook,
  type WebhookDeps,
} from './service.ts'

const tags = ['Webhooks']
// The channel is in the body, or known from the webhook: the permission is asked there.
const description = 'Takes webhook.manage in the channel.'

export const webhookRoutes = (deps: WebhookDeps & ExecutionDeps & { access: AccessOptions }) =>
  new Elysia({ normalize: false })
    .use(access(deps.access))
    .post('/v1/webhooks', async ({ caller, body, status }) => status(201, await createWebhook(deps, caller, body)), {
      can: 'member',
      parse: 'json',
      body: NewWebhook,
      response: { 201: WebhookWithSecret },
      detail: {
        operationId: 'createWebhook',
        summary: 'Make a webhook, an address at which programs write into a channel; its secret is shown this once',
        description,
        tags,
        ...refusals({ 409: 'The channel has as many webhooks as it can, or is no text channel' }),
      },
    })
    .get('/v1/webhooks', ({ caller, query }) => pageWebhooks(deps, caller, query), {
      can: 'member',
      query: WebhookQuery,
      response: { 200: WebhookPage },
      detail: { operationId: 'listWebhooks', summary: 'The webhooks of a channel', description, tags },
    })
    .get('/v1/webhooks/:webhookId', ({ caller, params }) => getWebhook(deps, caller, params.webhookId), {
      can: 'member',
      params: WebhookParams,
      response: { 200: Webhook },
      detail: { operationId: 'getWebhook', summary: 'Read one webhook', description, tags },
    })
    .patch(
      '/v1/webhooks/:webhookId',
      ({ caller, params, body }) => updateWebhook(deps, caller, params.webhookId, body),
      {
        can: 'member',
        parse: 'json',
        params: WebhookParams,
        body: WebhookPatch,
        response: { 200: Webhook },
        detail: {
          operationId: 'updateWebhook',
          summary: 'Change a webhook, or put it into another channel',
          description: `${description} To put it into another one, in both.`,
          tags,
          ...refusals({ 409: 'The other channel has as many webhooks as it can, or is no text channel' }),
        },
      },
    )
    .delete(
      '/v1/webhooks/:webhookId',
      async ({ caller, params, status }) => {
        await deleteWebhook(deps, caller, params.webhookId)
        return status(204, undefined)
      },
      {
        can: 'member',
        params: WebhookParams,
        response: { 204: Type.Void() },
        detail: {
          operationId: 'deleteWebhook',
          summary: 'Delete a webhook; what it has written stays',
          description,
          tags,
        },
      },
    )
    .post('/v1/webhooks/:webhookId/rotate', ({ caller, params }) => rotateSecret(deps, caller, params.webhookId), {
      can: 'member',
      params: WebhookParams,
      response: { 200: WebhookWithSecret },
      detail: {
        operationId: 'rotateWebhookSecret',
        summary: 'Give a webhook another secret, shown this once; the one before is of no use any more',
        description,
        tags,
      },
    })
    .post(
      '/v1/webhooks/:webhookId/:secret',
      async ({ visitor, params, body, status }) => status(201, await executeWebhook(deps, visitor, params, body)),
      {
        public: true,
        parse: 'json',
        params: WebhookAddress,
        body: NewWebhookMessage,
        response: { 201: Message },
        detail: {
          operationId: 'executeWebhook',
          summary: 'Write into a webhook’s channel',
          description: 'Takes no token: whoever has the secret may.',
          tags,
          ...refusals({
            404: 'There is no such webhook, or the secret is another',
            409: 'The message that was sent with this nonce has been deleted',
          }),
        },
      },
    )
